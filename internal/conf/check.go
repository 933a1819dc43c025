package conf

// checker finds what cannot work together.
type checker struct {
	*Config
	*report
	host Host
}

func (k *checker) all() {}
