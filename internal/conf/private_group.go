package conf

import (
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"

	"github.com/racoon3/racoon/dh"
)

// privateGroup reads a file of Diffie-Hellman parameters. Whether they are sound
// takes a while to find out, so it is done once for each content.
func (f *files) privateGroup(id dh.ID, file string) (*dh.PrivateGroup, error) {
	sum, err := digest(file)
	if err != nil {
		return nil, err
	}
	return keep(f, fmt.Sprintf("private group %v %s", id, sum), func() (*dh.PrivateGroup, error) {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		prime, generator, err := parseDHParameters(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		g, err := dh.NewPrivateGroup(id, prime.Bytes(), generator.Bytes())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		return g, nil
	})
}

// parseDHParameters reads the form of PKCS #3 that openssl dhparam writes.
func parseDHParameters(text []byte) (prime, generator *big.Int, err error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "DH PARAMETERS" {
		return nil, nil, fmt.Errorf("has no DH PARAMETERS in PEM")
	}
	var p struct {
		Prime, Generator *big.Int
		Length           int `asn1:"optional"`
	}
	rest, err := asn1.Unmarshal(block.Bytes, &p)
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("DH PARAMETERS: %w", err)
	case len(rest) > 0 || p.Prime.Sign() <= 0 || p.Generator.Sign() <= 0:
		return nil, nil, fmt.Errorf("DH PARAMETERS: not a prime and a generator")
	}
	return p.Prime, p.Generator, nil
}

// standInPrime is a safe prime of 1024 bits that nobody uses.
const standInPrime = "d4c8249ac8f86eaaf9064ca165dff27c732fbc5d028596d8789954a57edb190430660c1a2fde4f111e8d01e9d19e23be4b726bdecc111eef8db0dcbfa6e42201" +
	"3e41159356abe0efe12efd3ab2d7ce665d4c36734eb9e8469bf41735b82cdef42a057683fa65300f3918e1bd0126c92f32f2cd0433f8f7f89efaf1e3fb23200f"

// privateGroup makes groups that differ in their generator.
func (s *standIns) privateGroup(id dh.ID, _ string) (*dh.PrivateGroup, error) {
	p, err := hex.DecodeString(standInPrime)
	if err != nil {
		return nil, err
	}
	return dh.NewPrivateGroup(id, p, []byte{byte(2 + id - dh.FirstPrivate)})
}
