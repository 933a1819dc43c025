package ikev1

import "testing"

func TestBaseModePSK(t *testing.T) {
	p := modePair(t, BaseMode, nil)
	p.requireUp(p.initiate())
}
