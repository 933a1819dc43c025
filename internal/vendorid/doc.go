// Package vendorid names the vendor IDs that IKE implementations announce themselves and their extensions by: for
// logs and traces, and for the extensions of IKEv1 that have no other sign.
//
// A vendor ID is opaque. Most are the MD5 of some text, so the table holds texts; some end in octets of version or
// capability, so they are known by their beginning. Those of NAT traversal are package natt's, and named here too.
package vendorid
