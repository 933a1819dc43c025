//go:build linux

package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// heimdalRoot is where .ci/install-peers.sh unpacks Heimdal, which cannot be
// installed beside MIT's Kerberos.
func heimdalRoot() string { return filepath.Join(cacheDir(), "heimdal") }

// Heimdal's programs below heimdalRoot.
const (
	heimdalKDC    = "usr/lib/heimdal-servers/kdc"
	heimdalKadmin = "usr/bin/kadmin.heimdal"
)

func (k *KDC) heimdalEnv() []string {
	libs, _ := filepath.Glob(filepath.Join(heimdalRoot(), "usr/lib/*-linux-gnu*"))
	return append(os.Environ(), "LC_ALL=C", "KRB5_CONFIG="+k.Krb5Conf(), "KRB5CCNAME=FILE:"+k.file("ccache"), "LD_LIBRARY_PATH="+strings.Join(libs, ":"))
}

// initHeimdal writes the configuration and makes the database.
func (k *KDC) initHeimdal() {
	k.t.Helper()
	keys := ""
	if len(k.conf.ETypes) > 0 {
		keys = "[kadmin]\ndefault_keys = " + strings.Join(k.conf.ETypes, ":pw-salt ") + ":pw-salt\n"
	}
	writeFile(k.t, k.file("krb5.conf"), fmt.Sprintf(`[libdefaults]
default_realm = %[1]s
dns_lookup_kdc = false
dns_lookup_realm = false
[realms]
%[1]s = {
	kdc = %[2]s
}
[kdc]
database = {
	dbname = sqlite:%[3]s/database
	realm = %[1]s
	mkey_file = %[3]s/mkey
	acl_file = %[3]s/acl
	log_file = %[3]s/hdblog
}
[hdb]
db-dir = %[3]s
%[4]s[logging]
kdc = FILE:%[3]s/log
default = FILE:%[3]s/log
%[5]s
`, k.Realm, k.Addr, k.dir, keys, k.conf.Conf), 0o644)
	k.kadminHeimdal("init", "--realm-max-ticket-life=unlimited", "--realm-max-renewable-life=unlimited", k.Realm)
}

func (k *KDC) kadminHeimdal(args ...string) {
	k.t.Helper()
	k.must(heimdalKadmin, append([]string{"-l", "-c", k.Krb5Conf()}, args...)...)
}

func (k *KDC) heimdalArgs() []string {
	return []string{"--config-file=" + k.Krb5Conf(), fmt.Sprintf("--ports=%d", k.Addr.Port()), "--addresses=" + k.Addr.Addr().String()}
}
