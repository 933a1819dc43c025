package conf

import (
	"context"
	"crypto"
	"crypto/rsa"
	"errors"
	"io"
	"math/big"
	"regexp"
	"strings"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

// rest asks the Manager for what is wrong beyond what the other checks know:
// with stand-ins for secrets and data plane, so that a configuration which
// passes here fails later for what its files hold, or this host cannot do,
// alone.
func (k *checker) rest() {
	b := &builder{Config: k.Config, report: k.report, secrets: &standIns{}}
	var all []racoon.Peer
	var kerberos racoon.KINKConfig
	for _, p := range k.Peers {
		if p.Protocol == "kink" && kerberos.Kerberos == nil {
			if kerberos = b.kink(); kerberos.Kerberos == nil {
				return // said
			}
		}
		q := b.peer(p)
		if q.LocalID == "" && q.Credential != nil {
			q.LocalID = "gw.example.org" // some name of the certificate
		}
		all = append(all, q)
	}
	if tryPeers(kerberos, all) == nil {
		return
	}
	found := false
	for i := range all {
		if err := tryPeers(kerberos, all[i:i+1]); err != nil {
			found = true
			k.translate(k.Peer(all[i].Name), err)
		}
	}
	if !found {
		k.report.at(place{file: k.File}, "peer", "", "%v", tryPeers(kerberos, all))
	}
}

func tryPeers(kerberos racoon.KINKConfig, peers []racoon.Peer) error {
	plane := spd.NewMemory(spd.MemoryConfig{})
	defer plane.Close()
	m, err := racoon.NewManager(racoon.Config{DataPlane: plane, Peers: peers, Workers: 1, KINK: kerberos})
	if err != nil {
		return err
	}
	return m.Shutdown(context.Background())
}

// translate reports an error of the root package at the key that its field
// comes from.
func (k *checker) translate(p *Peer, err error) {
	field, message := "", err.Error()
	if ce, ok := errors.AsType[*racoon.ConfigError](err); ok {
		field, message = ce.Field, ce.Err.Error()
	}
	at, key := any(p), "remote"
	for word := range strings.SplitSeq(field, ": ") {
		word, _, _ = strings.Cut(word, "[")
		if i := strings.Index(word, ` "`); i >= 0 {
			word = word[:i]
		}
		for _, c := range p.Children {
			if strings.Contains(field, `Children[`) && strings.Contains(field, `"`+c.Name+`"`) {
				at = c
			}
		}
		for part := range strings.SplitSeq(word, ".") {
			switch part {
			case "KINK":
				at, key = &p.Kink, "principal"
				continue
			case "IKEv1":
				at, key = &p.IKEv1, "modes"
				continue
			case "Timing":
				at, key = &p.Timing, "rekey"
				continue
			}
			if name, ok := fieldKeys[part]; ok {
				key = name
			} else if part != "" && part != "Peers" && part != "Children" {
				key = kebab(part)
			}
		}
	}
	switch { // errors of IKEv1 say more than the field
	case strings.HasPrefix(message, "proposal "):
		at, key = p, "proposals"
	case strings.HasPrefix(message, "Methods: "):
		at, key, message = &p.IKEv1, "methods", strings.TrimPrefix(message, "Methods: ")
	case strings.HasPrefix(message, "NATT"):
		at, key, message = &p.IKEv1, "natt-versions", strings.TrimPrefix(strings.TrimPrefix(message, "NATT"), ": ")
	}
	message, hint, _ := strings.Cut(message, "; ")
	k.bad(at, key, inKeys(hint), "%s", inKeys(message))
}

// fieldKeys are the keys whose names are not those of their fields.
var fieldKeys = map[string]string{
	"PSK": "psk-file", "Credential": "key", "Credentials": "psk-file", "Trust": "ca", "LocalAddr": "local-address", "RemoteAddrs": "remote-addresses",
	"RemoteNATT": "remote-natt-port", "NATT": "natt-versions", "Assign": "pool", "NoNATT": "nat-traversal", "ForceEncap": "nat-traversal", "UserPrompt": "user-name",
	"OuterAH": "outer-ah", "LocalID": "local-id", "RemoteID": "remote-id", "Check": "proposal-check", "Volume": "rekey-bytes", "Options": "mtu",
	"ReqID": "reqid", "IPComp": "ipcomp", "StartAlways": `start = "always"`, "StartTrap": `start = "trap"`, "IKEv1": `"ikev1"`, "IKEv2": `"ikev2"`,
}

// kebab writes a Go name as a key: RemoteAuth, remote-auth.
func kebab(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= 'A' && c <= 'Z' {
			if i > 0 && (s[i-1] >= 'a' && s[i-1] <= 'z' || i+1 < len(s) && s[i+1] >= 'a' && s[i+1] <= 'z') {
				b.WriteByte('-')
			}
			c += 'a' - 'A'
		}
		b.WriteByte(c)
	}
	return b.String()
}

var goName = regexp.MustCompile(`\b(racoon|ikev1|ikev2|ike|spd)\.([A-Z][A-Za-z0-9]*)|\b[A-Z][a-z]+[A-Z][A-Za-z]*\b`)

// inKeys puts keys in place of Go names in a text.
func inKeys(s string) string {
	return goName.ReplaceAllStringFunc(s, func(w string) string {
		if _, name, ok := strings.Cut(w, "."); ok {
			w = name
		}
		if k, ok := fieldKeys[w]; ok {
			return k
		}
		return kebab(w)
	})
}

// standIns are secrets for a check without files.
type standIns struct{}

// standInKey is an RSA key that nobody signs with: the kind that every method of
// either version knows.
type standInKey struct{}

func (standInKey) Public() crypto.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), 2047)
	return &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537}
}

func (standInKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("a stand-in signs nothing")
}

func (s *standIns) key(_, _ string) (ike.Secret, error)      { return ike.Secret("stand-in"), nil }
func (s *standIns) keyOf(_, _, _ string) (ike.Secret, error) { return ike.Secret("stand-in"), nil }
func (s *standIns) password(string) (ike.Secret, error)      { return ike.Secret("stand-in"), nil }
func (s *standIns) passwordOf(_, _ string) (ike.Secret, error) {
	return ike.Secret("stand-in"), nil
}

func (s *standIns) keys(string) (ike.CredentialSource, error) {
	return (&ike.Credential{PSK: ike.Secret("stand-in")}).Source(), nil
}

func (s *standIns) request(r ike.ConfigRequest) *ike.ConfigRequest { return &r }

func (s *standIns) credential(_, _ string) (*ike.Credential, error) {
	return &ike.Credential{Signer: standInKey{}}, nil
}

func (s *standIns) trust(p *Peer) (*ike.Trust, error) {
	t := &ike.Trust{RawKeys: []ike.RawKey{{Key: standInKey{}.Public()}}}
	p.Trust.apply(t)
	return t, nil
}

func (s *standIns) pool(p *Pool) (ike.AddressAssigner, error) { return racoon.NewPool(p.racoon()) }

func (s *standIns) users(*Users) (ike.UserAuthenticator, error) { return anyUsers{}, nil }

// anyUsers stands for users whose file is not read.
type anyUsers struct{}

func (anyUsers) Supports(ike.UserAuthKind) bool { return true }

func (anyUsers) AuthenticateUser(context.Context, ike.UserRequest) (ike.UserAnswer, error) {
	return nil, errors.New("a stand-in knows nobody")
}
