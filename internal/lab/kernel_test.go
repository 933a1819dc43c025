//go:build linux

package lab_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/lab"
)

func TestKernelHasXFRM(t *testing.T) {
	t.Parallel()
	if !lab.InKernel(t, lab.KernelOptions{}) {
		return
	}
	require.Equal(t, 0, os.Getuid())
	a, b := lab.NewPair(t)
	key := "0x000102030405060708090a0b0c0d0e0f10111213"
	for _, s := range []*lab.Site{a, b} {
		for spi, d := range [][2]*lab.Site{{a, b}, {b, a}} {
			s.IP(fmt.Sprintf("xfrm state add src %v dst %v proto esp spi %d mode tunnel reqid 1 aead rfc4106(gcm(aes)) %s 128", d[0].Outer, d[1].Outer, 0x1000+spi, key))
			for _, dir := range []string{"out", "in", "fwd"} {
				if (dir == "out") == (d[0] == s) {
					s.IP(fmt.Sprintf("xfrm policy add src %v dst %v dir %s tmpl src %v dst %v proto esp reqid 1 mode tunnel", d[0].InnerNet, d[1].InnerNet, dir, d[0].Outer, d[1].Outer))
				}
			}
		}
	}
	a.RouteTo(b)
	b.RouteTo(a)
	a.MustPing(a.Inner, b.Inner)
	require.Regexp(t, `252\(bytes\), 3\(packets\)`, b.Run("ip", "-s", "xfrm", "state", "list", "spi", "0x1000"))
}
