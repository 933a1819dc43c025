package ike

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxFileSize bounds what is read from one file: room for the largest
// revocation lists.
const maxFileSize = 64 << 20

// LoadTrust reads certificates of authorities and revocation lists from files
// and directories. A file is PEM, with any number of both and text between
// them, or DER with one of them. Of a directory, the files whose names end in
// .pem, .crt, .cer, .der, .crl or .ca are read, hidden ones and
// subdirectories are not.
//
// Every certificate becomes a root, so it has to be one of an authority. What
// cannot be read is an error that names the file; so is finding no
// certificate at all.
func LoadTrust(paths ...string) (*Trust, error) {
	t := &Trust{}
	for _, path := range paths {
		files, err := expand(path)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			if err := t.load(file); err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
		}
	}
	if len(t.Roots) == 0 {
		return nil, fmt.Errorf("no certificate of an authority in %s", strings.Join(paths, ", "))
	}
	return t, nil
}

var trustSuffixes = []string{".pem", ".crt", ".cer", ".der", ".crl", ".ca"}

// expand lists the files of a directory, or returns the file itself.
func expand(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path) // sorted
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || !slices.Contains(trustSuffixes, strings.ToLower(filepath.Ext(e.Name()))) {
			continue
		}
		file := filepath.Join(path, e.Name())
		if info, err := os.Stat(file); err != nil { // follows links
			return nil, err
		} else if info.Mode().IsRegular() {
			files = append(files, file)
		}
	}
	return files, nil
}

func (t *Trust) load(file string) error {
	blocks, err := readBlocks(file)
	if err != nil {
		return err
	}
	for i, b := range blocks {
		where := func(err error) error {
			if len(blocks) == 1 {
				return err
			}
			return fmt.Errorf("block %d (%s): %w", i+1, b.Type, err)
		}
		if b.Type == "" { // DER, a certificate or a list
			if _, err := x509.ParseRevocationList(b.Bytes); err == nil {
				b.Type = pemCRL
			} else {
				b.Type = pemCertificate
			}
		}
		switch b.Type {
		case pemCertificate, pemX509Certificate:
			c, err := x509.ParseCertificate(b.Bytes)
			if err != nil {
				return where(err)
			}
			if !mayIssue(c) {
				return where(fmt.Errorf("%q is not the certificate of a certification authority", c.Subject))
			}
			if !slices.ContainsFunc(t.Roots, c.Equal) {
				t.Roots = append(t.Roots, c)
			}
		case pemCRL:
			l, err := x509.ParseRevocationList(b.Bytes)
			if err == nil {
				err = checkCRL(l)
			}
			if err != nil {
				return where(err)
			}
			t.CRLs = append(t.CRLs, l)
		default:
			return where(fmt.Errorf("%q is neither a certificate nor a revocation list", b.Type))
		}
	}
	return nil
}

const (
	pemCertificate     = "CERTIFICATE"
	pemX509Certificate = "X509 CERTIFICATE"
	pemCRL             = "X509 CRL"

	plainRSA = "plain RSA" // no PEM, but a file of keys in ipsec-tools' form
)

// readBlocks reads a file as PEM blocks, or as one block without a type if it
// is DER.
func readBlocks(file string) ([]*pem.Block, error) {
	f, err := os.Open(file)
	if err != nil {
		var path *os.PathError
		if errors.As(err, &path) {
			return nil, path.Err // callers name the file
		}
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > maxFileSize:
		return nil, fmt.Errorf("larger than %d MiB", maxFileSize>>20)
	case len(bytes.TrimSpace(data)) == 0:
		return nil, errors.New("the file is empty")
	case data[0] == 0x30 && !bytes.Contains(data, []byte("-----BEGIN ")):
		return []*pem.Block{{Bytes: data}}, nil
	}
	var blocks []*pem.Block
	for rest := data; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			if bytes.Contains(rest, []byte("-----BEGIN ")) {
				return nil, fmt.Errorf("PEM block %d is damaged", len(blocks)+1)
			}
			break
		}
		blocks = append(blocks, b)
	}
	if len(blocks) == 0 && isPlainRSA(data) {
		return []*pem.Block{{Type: plainRSA, Bytes: data}}, nil
	}
	if len(blocks) == 0 {
		return nil, errors.New("neither PEM nor DER")
	}
	return blocks, nil
}

// LoadCertificates reads certificates, PEM or DER, in the order of the file.
func LoadCertificates(file string) ([]*x509.Certificate, error) {
	blocks, err := readBlocks(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	certs, err := certificates(blocks)
	if err == nil && len(certs) == 0 {
		err = errors.New("no certificate in the file")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return certs, nil
}

func certificates(blocks []*pem.Block) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for i, b := range blocks {
		switch b.Type {
		case "", pemCertificate, pemX509Certificate:
			c, err := x509.ParseCertificate(b.Bytes)
			if err != nil {
				return nil, fmt.Errorf("block %d: %w", i+1, err)
			}
			certs = append(certs, c)
		}
	}
	return certs, nil
}

// LoadCredential reads an own credential: the certificate, followed by the
// intermediates if there are any, from certFile, and the private key from
// keyFile, which may be the same file. Keys are PKCS#8, PKCS#1 (RSA), SEC 1 (EC)
// or OpenSSL's form of DSA keys (IKEv1 only), PEM or DER, not encrypted; or RSA in
// the form of [PlainRSAKey]. With certFile "" the credential is a raw key.
//
// The result has been validated. Errors name the file.
func LoadCredential(certFile, keyFile string) (*Credential, error) {
	if keyFile == "" {
		keyFile = certFile
	}
	blocks, err := readBlocks(keyFile)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", keyFile, err)
	}
	defer func() {
		for _, b := range blocks {
			clear(b.Bytes)
		}
	}()
	c := &Credential{}
	if c.Signer, err = privateKey(blocks); err != nil {
		return nil, fmt.Errorf("%s: %w", keyFile, err)
	}
	if certFile != "" {
		if c.Certificates, err = LoadCertificates(certFile); err != nil {
			return nil, err
		}
	}
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("%s with %s: %w", certFile, keyFile, err)
	}
	return c, nil
}

// privateKey finds the one private key among the blocks.
func privateKey(blocks []*pem.Block) (crypto.Signer, error) {
	var found crypto.Signer
	for _, b := range blocks {
		var key any
		var err error
		switch b.Type {
		case "PRIVATE KEY":
			var isDSA bool
			if key, isDSA, err = parseDSA(b.Bytes); !isDSA {
				key, err = x509.ParsePKCS8PrivateKey(b.Bytes)
			}
		case "DSA PRIVATE KEY":
			if b.Headers["DEK-Info"] != "" {
				return nil, errors.New("the private key is encrypted; decrypt it, or give a crypto.Signer")
			}
			var isDSA bool
			if key, isDSA, err = parseDSA(b.Bytes); !isDSA {
				err = errors.New("not a DSA key")
			}
		case "RSA PRIVATE KEY", "EC PRIVATE KEY":
			if b.Headers["DEK-Info"] != "" {
				return nil, errors.New("the private key is encrypted; decrypt it, or give a crypto.Signer")
			}
			if b.Type[0] == 'R' {
				key, err = x509.ParsePKCS1PrivateKey(b.Bytes)
			} else {
				key, err = x509.ParseECPrivateKey(b.Bytes)
			}
		case plainRSA:
			key, err = onePlainRSA(b.Bytes, true)
		case "ENCRYPTED PRIVATE KEY":
			return nil, errors.New("the private key is encrypted; decrypt it, or give a crypto.Signer")
		case "OPENSSH PRIVATE KEY":
			return nil, errors.New("the private key is in OpenSSH's format; convert it to PKCS#8")
		case "":
			if key, err = x509.ParsePKCS8PrivateKey(b.Bytes); err != nil {
				if key, err = x509.ParsePKCS1PrivateKey(b.Bytes); err != nil {
					key, err = x509.ParseECPrivateKey(b.Bytes)
				}
			}
			if err != nil {
				var isDSA bool
				if key, isDSA, err = parseDSA(b.Bytes); !isDSA {
					return nil, errors.New("the DER file is no private key in PKCS#8, PKCS#1 or SEC 1")
				}
			}
		default:
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("private key: %w", err)
		}
		signer, ok := key.(crypto.Signer)
		if !ok {
			return nil, fmt.Errorf("keys of type %T cannot sign", key)
		}
		if found != nil {
			return nil, errors.New("more than one private key in the file")
		}
		found = signer
	}
	if found == nil {
		return nil, errors.New("no private key in the file")
	}
	return found, nil
}

// LoadPublicKey reads a public key, for [RawKey]: a SubjectPublicKeyInfo in
// PEM or DER, the key of a certificate, or RSA in the form of [PlainRSAKey].
func LoadPublicKey(file string) (crypto.PublicKey, error) {
	blocks, err := readBlocks(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for _, b := range blocks {
		switch b.Type {
		case "", "PUBLIC KEY":
			if key, err := x509.ParsePKIXPublicKey(b.Bytes); err == nil {
				return key, nil
			} else if b.Type != "" {
				return nil, fmt.Errorf("%s: public key: %w", file, err)
			}
		case "RSA PUBLIC KEY":
			key, err := x509.ParsePKCS1PublicKey(b.Bytes)
			if err != nil {
				return nil, fmt.Errorf("%s: public key: %w", file, err)
			}
			return key, nil
		case plainRSA:
			key, err := onePlainRSA(b.Bytes, false)
			if err != nil {
				return nil, fmt.Errorf("%s: public key: %w", file, err)
			}
			return key, nil
		}
	}
	if certs, err := certificates(blocks); err == nil && len(certs) > 0 {
		return certs[0].PublicKey, nil
	}
	return nil, fmt.Errorf("%s: no public key in the file", file)
}
