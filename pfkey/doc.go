// Package pfkey speaks PF_KEYv2, the socket between key management and a
// kernel's IPsec (RFC 2367, with the extensions of KAME and its descendants).
package pfkey
