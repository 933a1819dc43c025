package isakmp_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/spd"
)

func TestLifetime(t *testing.T) {
	for name, c := range map[string]struct {
		p    spd.Protocol
		wire string
		want isakmp.Lifetime
	}{
		"none":               {spd.ProtoESP, "80040001", isakmp.Lifetime{}},
		"seconds":            {spd.ProtoESP, "80010001 80020e10", isakmp.Lifetime{Seconds: 3600}},
		"phase 1":            {spd.ProtoIKE, "800b0001 800c7080 80010007 80020002", isakmp.Lifetime{Seconds: 28800}},
		"variable":           {spd.ProtoESP, "80010001 00020004 00015180", isakmp.Lifetime{Seconds: 86400}},
		"both":               {spd.ProtoAH, "80010001 80020e10 80010002 00020004 00465000", isakmp.Lifetime{Seconds: 3600, Kilobytes: 4608000}},
		"kilobytes first":    {spd.ProtoIPComp, "80010002 80020001 80010001 80020002", isakmp.Lifetime{Seconds: 2, Kilobytes: 1}},
		"one octet":          {spd.ProtoESP, "80010001 00020001 05", isakmp.Lifetime{Seconds: 5}},
		"leading zeros":      {spd.ProtoESP, "80010001 0002000a 00000000000000000005", isakmp.Lifetime{Seconds: 5}},
		"others in between":  {spd.ProtoESP, "80010001 80040001 80020005", isakmp.Lifetime{Seconds: 5}},
		"type as a variable": {spd.ProtoESP, "00010002 0001 80020005", isakmp.Lifetime{Seconds: 5}},
		"eight octets":       {spd.ProtoESP, "80010001 00020008 ffffffffffffffff", isakmp.Lifetime{Seconds: 1<<64 - 1}},
	} {
		as, err := isakmp.ParseAttributes(unhex(c.wire))
		require.NoError(t, err, name)
		l, err := isakmp.LifetimeOf(c.p, as)
		require.NoError(t, err, name)
		require.Equal(t, c.want, l, name)
		l, err = isakmp.LifetimeOf(c.p, isakmp.AppendLifetime(nil, c.p, c.want))
		require.NoError(t, err, name)
		require.Equal(t, c.want, l, name)
	}
	for name, wire := range map[string]string{
		"duration alone": "80020e10",
		"type alone":     "80010001",
		"type twice":     "80010001 80010001 80020001",
		"seconds twice":  "80010001 80020001 80010001 80020001",
		"two durations":  "80010001 80020001 80020001",
		"type 0":         "80010000 80020001",
		"type 3":         "80010003 80020001",
		"zero":           "80010001 80020000",
		"no octets":      "80010001 00020000",
		"above 64 bits":  "80010001 00020009 010000000000000000",
	} {
		as, err := isakmp.ParseAttributes(unhex(wire))
		require.NoError(t, err, name)
		_, err = isakmp.LifetimeOf(spd.ProtoESP, as)
		require.ErrorIs(t, err, isakmp.ErrLifetime, name)
	}
	require.Equal(t, unhex("800b0001 000c0004 00015180 800b0002 800cffff"),
		isakmp.AppendAttributes(nil, isakmp.AppendLifetime(nil, spd.ProtoIKE, isakmp.Lifetime{Seconds: 86400, Kilobytes: 65535})...))
	require.Equal(t, unhex("80010002 00020008 0000000100000000"),
		isakmp.AppendAttributes(nil, isakmp.AppendLifetime(nil, spd.ProtoESP, isakmp.Lifetime{Kilobytes: 1 << 32})...))
	require.Equal(t, "5 seconds, 7 kilobytes", isakmp.Lifetime{Seconds: 5, Kilobytes: 7}.String())
	require.Equal(t, "7 kilobytes", isakmp.Lifetime{Kilobytes: 7}.String())
	require.Equal(t, "0 seconds", isakmp.Lifetime{}.String())
}

func TestNotifyData(t *testing.T) {
	parse := func(n isakmp.Notify) *isakmp.Notify {
		b := datagram(raw{t: isakmp.PayloadNotify, body: n.AppendBody(nil)})
		m, err := isakmp.Parse(b)
		require.NoError(t, err)
		requireSame(t, m, b)
		require.Equal(t, &n, m.Notify(n.Type))
		return m.Notify(n.Type)
	}
	spi := isakmp.AppendCookies(nil, 1, 2)
	n := parse(isakmp.Notify{DOI: isakmp.DOIIPsec, Protocol: spd.ProtoIKE, Type: isakmp.NotifyRUThere, SPI: spi, Data: isakmp.AppendSequenceData(nil, 7)})
	seq, err := n.Sequence()
	require.NoError(t, err)
	require.Equal(t, uint32(7), seq)
	i, r, ok := n.Cookies()
	require.True(t, ok)
	require.Equal(t, [2]isakmp.Cookie{1, 2}, [2]isakmp.Cookie{i, r})
	require.Equal(t, "N(R-U-THERE ISAKMP SPI 00000000000000010000000000000002 7)", n.String())

	n = parse(isakmp.Notify{DOI: isakmp.DOIIPsec, Protocol: spd.ProtoESP, Type: isakmp.NotifyResponderLifetime, SPI: unhex("c0ffee01"), Data: unhex("80010001 80020e10")})
	l, err := n.ResponderLifetime()
	require.NoError(t, err)
	require.Equal(t, isakmp.Lifetime{Seconds: 3600}, l)
	got, ok := n.IPsecSPI()
	require.True(t, ok)
	require.Equal(t, spd.SPI(0xc0ffee01), got)
	require.Equal(t, "N(RESPONDER-LIFETIME ESP SPI c0ffee01 3600 seconds)", n.String())

	for _, on := range []bool{true, false} {
		n = parse(isakmp.Notify{DOI: isakmp.DOIIPsec, Protocol: spd.ProtoESP, Type: isakmp.NotifyReplayStatus, Data: isakmp.AppendReplayStatusData(nil, on)})
		got, err := n.ReplayStatus()
		require.NoError(t, err)
		require.Equal(t, on, got)
	}
	n = parse(isakmp.Notify{DOI: isakmp.DOIISAKMP, Protocol: spd.ProtoIKE, Type: isakmp.NotifyUnityLoadBalance, Data: unhex("c0a80001")})
	a, err := n.UnityLoadBalance()
	require.NoError(t, err)
	require.Equal(t, addr("192.168.0.1"), a)
	require.Equal(t, "N(UNITY-LOAD-BALANCE DOI ISAKMP 192.168.0.1)", n.String())
	n = parse(isakmp.Notify{Protocol: spd.ProtoIKE, Type: isakmp.NotifyNoProposalChosen, Data: []byte("no\nway")})
	require.Equal(t, "N(NO-PROPOSAL-CHOSEN DOI ISAKMP 6e6f0a776179)", n.String())
	n.Data = []byte("no way")
	require.Equal(t, `N(NO-PROPOSAL-CHOSEN DOI ISAKMP "no way")`, n.String())

	for size := range 9 {
		n := isakmp.Notify{Type: isakmp.NotifyRUThere, Data: make([]byte, size)}
		_, err := n.Sequence()
		require.Equal(t, size == 4, err == nil)
		_, err = n.ReplayStatus()
		require.Equal(t, size == 4, err == nil)
		_, err = n.UnityLoadBalance()
		require.Equal(t, size == 4, err == nil)
	}
	bad := isakmp.Notify{Data: unhex("00000002")}
	_, err = bad.ReplayStatus()
	require.Error(t, err)
	bad.Data = unhex("80010001 8002")
	_, err = bad.ResponderLifetime()
	require.ErrorIs(t, err, isakmp.ErrSyntax)
}
