// Package isakmp is the ISAKMP codec: the header and every payload of RFC
// 2408 and the IPsec DOI (RFC 2407), the registries of IKE (RFC 2409), NAT
// traversal (RFC 3947), dead peer detection (RFC 3706), mode-config, XAuth,
// and Cisco's fragments.
package isakmp
