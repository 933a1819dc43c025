// Package kdc is [krb.Kerberos] with real KDCs and real files: it finds the
// KDCs of a realm and talks to them over UDP and TCP, and keeps a keytab or a
// credential cache up to date.
//
//	k, err := kdc.New(kdc.Config{
//		Principal: "kink/a.example.com@EXAMPLE.COM",
//		Keytab:    "/etc/krb5.keytab",
//		KDCs:      map[string][]string{"EXAMPLE.COM": {"kdc.example.com"}},
//	})
//
// Nothing of the environment is looked at unless the configuration says so:
// KDCs and realms come from Config.KDCs, from a [Krb5Conf] that the program has
// read, or from the DNS if that is allowed.
package kdc
