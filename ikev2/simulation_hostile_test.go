package ikev2

func (s *sim) runMalicious() {}
func (s *sim) runImpostor()  {}
