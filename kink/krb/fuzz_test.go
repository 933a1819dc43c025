package krb_test

import (
	"bytes"
	"net/netip"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/message"
)

// seeds are the recorded AP-REQs, AP-REPs and KRB-ERRORs, and made ones.
func seeds(t testing.TB) (reqs, reps, errs [][]byte) {
	for _, r := range recordings {
		var key *krb.Key
		for _, d := range recording(t, r.name) {
			m, err := message.Parse(d.Payload)
			require.NoError(t, err)
			if p := m.APReq(); p != nil {
				reqs = append(reqs, p.Data)
				key = recordedKey(t, m, r.keytab, d.Time)
			}
			if p := m.APRep(); p != nil {
				reps = append(reps, p.Data)
			}
			ps, err := m.Open(key)
			require.NoError(t, err)
			if p := ps.KRBError(); p != nil {
				errs = append(errs, p.Data)
			}
		}
	}
	tkt := ticket(t, issue(t, krb.AES128SHA256))
	b, err := tkt.APReq(nil, krb.StampOf(noon), random(1))
	require.NoError(t, err)
	reqs = append(reqs, b)
	b, err = krb.AppendAPRep(nil, tkt.Key, krb.StampOf(noon), random(1))
	require.NoError(t, err)
	reps = append(reps, b)
	b, err = (&krb.KRBError{Code: krb.APErrSkew, Client: client, Server: server, ServerTime: krb.StampOf(noon), Text: "x", Data: []byte{1}}).AppendBinary(nil)
	require.NoError(t, err)
	return reqs, reps, append(errs, b)
}

// FuzzAPReq: no input panics, none is accepted but the good one.
func FuzzAPReq(f *testing.F) {
	reqs, _, _ := seeds(f)
	for _, b := range reqs {
		f.Add(b)
	}
	good := apReq(f, ticket(f, issue(f, krb.AES128SHA256)), noon)
	f.Fuzz(func(t *testing.T, b []byte) {
		req, err := krb.ParseAPReq(b)
		if err != nil {
			return
		}
		_ = req.Ticket.Server.String()
		_ = req.Ticket.IsLocalTGT()
		p, err := krb.ParsePrincipal(req.Ticket.Server.String(), "")
		if err == nil { // names with odd octets print as something else
			require.Equal(t, req.Ticket.Server, p)
		}
		a := acceptor(t, krb.AES128SHA256)
		if peer, err := a.Accept(noon, netip.Addr{}, req); err == nil {
			require.Equal(t, client, peer.Client)
			require.Equal(t, good.Ticket.Server, peer.Server)
		}
	})
}

// FuzzDecrypted: what is inside a ticket and an authenticator, from who
// has the keys.
func FuzzDecrypted(f *testing.F) {
	part, auth := krb.DecryptedParts(ticket(f, issue(f, krb.AES128SHA256)), randomKey(f, krb.AES128SHA256, 2), krb.StampOf(noon))
	f.Add(part, auth)
	session, seal := randomKey(f, krb.AES128SHA256, 1), randomKey(f, krb.AES128SHA256, 2)
	f.Fuzz(func(t *testing.T, part, auth []byte) {
		req := krb.SealedAPReq(server, seal, part, session, auth)
		peer, err := acceptor(t, krb.AES128SHA256).Accept(noon, netip.MustParseAddr("10.0.0.1"), req)
		if err == nil {
			require.NotNil(t, peer.Key)
			_ = peer.Client.String()
		}
	})
}

// FuzzAPRep: no input panics, none is taken for the answer but the good one.
func FuzzAPRep(f *testing.F) {
	_, reps, _ := seeds(f)
	for _, b := range reps {
		f.Add(b)
	}
	key := randomKey(f, krb.AES128SHA256, 1)
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := krb.OpenAPRep(b, key); err == nil {
			require.Equal(t, krb.StampOf(noon), s)
		}
	})
}

// FuzzKRBError: what decodes encodes, and decodes to the same.
func FuzzKRBError(f *testing.F) {
	_, _, errs := seeds(f)
	for _, b := range errs {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := krb.ParseKRBError(b)
		if err != nil {
			return
		}
		for _, c := range e.Error() {
			require.True(t, c >= ' ' && c < 0x7f)
		}
		e.Skew()
		if e.Server.IsZero() {
			return
		}
		out, err := e.AppendBinary(nil)
		require.NoError(t, err)
		again, err := krb.ParseKRBError(out)
		require.NoError(t, err)
		if len(e.Data) == 0 {
			e.Data = nil
		}
		require.Equal(t, e, again)
	})
}

// FuzzFiles: keytabs and credential caches are files of others.
func FuzzFiles(f *testing.F) {
	for _, name := range []string{"kinkd/a-aes256.keytab", "kinkd/krbtgt.keytab", "kinkd/a-des3.keytab", "mit/ccache"} {
		b, err := os.ReadFile("testdata/" + name)
		require.NoError(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if k, err := krb.ParseKeytab(b); err == nil {
			for _, p := range k.Principals() {
				_, _ = k.ServiceKeys(p, krb.AES256SHA1, 0)
			}
		}
		if c, err := krb.ParseCCache(b); err == nil {
			for _, x := range c.Tickets {
				_ = x.String()
				_, _ = krb.ParseTicket(x.Raw)
			}
		}
	})
}

// FuzzKDCReply: a KDC's answer, before and after it proves to be the KDC's.
func FuzzKDCReply(f *testing.F) {
	for _, b := range krb.KDCReplies(f) {
		f.Add(b)
	}
	f.Fuzz(func(_ *testing.T, b []byte) { krb.ParseAnyKDCReply(b) })
}

// A message cut anywhere, and with any octet changed, is refused or good; it
// never does harm.
func TestB21_ShortMessages(t *testing.T) {
	reqs, reps, errs := seeds(t)
	tkt := ticket(t, issue(t, krb.AES128SHA256))
	for _, list := range [][][]byte{reqs, reps, errs} {
		for _, b := range list {
			for n := range b {
				_, err := krb.ParseAPReq(b[:n])
				require.ErrorIs(t, err, krb.ErrSyntax)
				_, err = krb.OpenAPRep(b[:n], tkt.Key)
				require.ErrorIs(t, err, krb.ErrSyntax)
				_, err = krb.ParseKRBError(b[:n])
				require.ErrorIs(t, err, krb.ErrSyntax)
			}
		}
	}
	a := acceptor(t, krb.AES128SHA256)
	made := reqs[len(reqs)-1]
	for i := range made {
		for _, bit := range []byte{1, 0x80} {
			b := bytes.Clone(made)
			b[i] ^= bit
			req, err := krb.ParseAPReq(b)
			if err != nil {
				continue
			}
			if peer, err := a.Accept(noon, netip.Addr{}, req); err == nil {
				require.Equal(t, client, peer.Client, "octet %d", i)
			}
		}
	}
	_, err := krb.ParseAPReq(reps[0])
	require.Error(t, err)
	_, err = krb.OpenAPRep(reqs[0], tkt.Key)
	require.Error(t, err)
}
