package vpn

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1"
)

// IKEv1 are the flags for peers that speak the old version.
type IKEv1 struct {
	versions, modes string
	hybrid          bool
}

func (v *IKEv1) define(fs *flag.FlagSet) {
	fs.StringVar(&v.versions, "ike", "2", "`versions` of IKE to speak, the preferred one first: 2, 1 or 2,1")
	fs.StringVar(&v.modes, "mode", "main", "IKEv1: phase 1 `exchanges` to use, the first one to call with: main, aggressive, base")
	fs.BoolVar(&v.hybrid, "hybrid", false, "IKEv1: the gateway alone has a certificate, clients have a user name and a password")
}

var modes = map[string]ikev1.Mode{"main": ikev1.MainMode, "aggressive": ikev1.AggressiveMode, "base": ikev1.BaseMode}

// Apply fills in a peer. Errors name the flag.
func (v *IKEv1) Apply(p *racoon.Peer) error {
	for s := range strings.SplitSeq(v.versions, ",") {
		switch s {
		case "1":
			p.Versions = append(p.Versions, racoon.IKEv1)
		case "2":
			p.Versions = append(p.Versions, racoon.IKEv2)
		default:
			return fmt.Errorf("-ike: %q is no version; use 2, 1 or 2,1", s)
		}
	}
	old := slices.Contains(p.Versions, racoon.IKEv1)
	for s := range strings.SplitSeq(v.modes, ",") {
		m, ok := modes[s]
		if !ok {
			return fmt.Errorf("-mode: %q is unknown; use main, aggressive or base", s)
		}
		if !old && m != ikev1.MainMode {
			return fmt.Errorf("-mode: %s is an exchange of IKEv1; allow that with -ike 1", s)
		}
		if slices.Contains(p.IKEv1.Modes, m) {
			return fmt.Errorf("-mode: %s is there twice", s)
		}
		p.IKEv1.Modes = append(p.IKEv1.Modes, m)
	}
	if v.hybrid && !(old && len(p.Versions) == 1) {
		return fmt.Errorf("-hybrid: is of IKEv1; say -ike 1")
	}
	p.IKEv1.Hybrid = v.hybrid
	return nil
}

// readSecret reads a file with one secret on its only line.
func readSecret(flag, file string) (ike.Secret, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	// Editors put a newline there.
	s := ike.Secret(bytes.TrimRight(b, "\r\n"))
	if len(s) == 0 {
		return nil, fmt.Errorf("%s: %s is empty; put the key or password into it", flag, file)
	}
	return s, nil
}

// User are the flags of a client whose user logs in (XAuth).
type User struct{ name, passwordFile string }

// Define defines the flags.
func (u *User) Define(fs *flag.FlagSet) {
	fs.StringVar(&u.name, "user", "", "IKEv1: `name` of the user to log in with (XAuth)")
	fs.StringVar(&u.passwordFile, "password-file", "", "`file` with the user's password")
}

// Apply fills in a peer. Errors name the flag.
func (u *User) Apply(p *racoon.Peer) error {
	switch {
	case u.name == "" && u.passwordFile == "":
		return nil
	case u.name == "":
		return fmt.Errorf("-user: is missing; -password-file is for its password")
	case u.passwordFile == "":
		return fmt.Errorf("-password-file: is missing; say where the password of -user is")
	case !slices.Contains(p.Versions, racoon.IKEv1):
		return fmt.Errorf("-user: users log in with IKEv1 only; say -ike 1")
	}
	password, err := readSecret("-password-file", u.passwordFile)
	if err != nil {
		return err
	}
	p.UserPrompt = ike.StaticUser(u.name, password)
	return nil
}
