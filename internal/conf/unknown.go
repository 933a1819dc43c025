package conf

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// unknown reports a key that a section does not have.
func (d *decoder) unknown(p place, path []string, key string, fs []field) {
	section := joinKey(path...)
	known := make([]string, len(fs))
	for i, f := range fs {
		known[i] = f.key
	}
	at := joinKey(append(slices.Clip(path), key)...)
	where := "at the top of the file"
	if section != "" {
		where = "in [" + section + "]"
	}
	hint := ""
	switch n := nearest(key, known); {
	case synonyms[key] != "" && !slices.Contains(known, strings.ReplaceAll(key, "_", "-")):
		hint = "what other programs call so is written " + synonyms[key]
	case n != "" && (distance(strings.ReplaceAll(key, "_", "-"), n, 3) <= 2):
		hint = fmt.Sprintf("did you mean %q?", n)
	case len(sectionsWith(key)) > 0:
		hint = "it belongs into " + list(sectionsWith(key))
	case n != "":
		hint = fmt.Sprintf("did you mean %q?", n)
	case len(known) <= 12:
		hint = "there are " + strings.Join(known, ", ")
	default:
		hint = "see the reference for its keys"
	}
	d.at(p, at, hint, "is unknown %s", where)
}

// sectionsWith returns the sections that have a key.
func sectionsWith(key string) []string {
	var found []string
	walkSections(func(path string, t reflect.Type) {
		if slices.ContainsFunc(fieldsOf(t), func(f field) bool { return f.key == key }) && path != "" &&
			!strings.HasPrefix(path, "defaults") && !strings.HasPrefix(path, "template") {
			found = append(found, "["+path+"]")
		}
	})
	if len(found) > 4 {
		found = found[:4]
	}
	return found
}

// walkSections calls f for each section, in the order of the structs.
func walkSections(f func(path string, t reflect.Type)) {
	var walk func(path string, t reflect.Type)
	walk = func(path string, t reflect.Type) {
		f(path, t)
		for _, fd := range fieldsOf(t) {
			at := fd.key
			if path != "" {
				at = path + "." + fd.key
			}
			switch {
			case fd.typ == reflect.TypeFor[Mark]():
			case fd.typ.Kind() == reflect.Struct:
				walk(at, fd.typ)
			case fd.typ.Kind() == reflect.Slice && fd.typ.Elem().Kind() == reflect.Pointer:
				walk(at+".NAME", fd.typ.Elem().Elem())
			}
		}
	}
	walk("", reflect.TypeFor[Config]())
}

// synonyms are words of racoon.conf, racoon2.conf, ipsec.conf and swanctl.conf
// for what has another name here.
var synonyms = map[string]string{
	// racoon
	"my_identifier": "local-id", "peers_identifier": "remote-id", "exchange_mode": "modes in [peer.NAME.ikev1]",
	"certificate_type": "certificate and key", "ca_type": "ca", "peers_certfile": "pinned in [peer.NAME.trust]",
	"pre_shared_key": "psk-file", "path": "as a full file name where it is used", "xauth_login": "user-name",
	"generate_policy": "generate-policy in [peer.NAME.ikev1]", "proposal_check": "proposal-check in [peer.NAME.ikev1]",
	"ike_frag": "fragmentation", "dpd_delay": "liveness in [peer.NAME.timing]", "dpd_retry": "retransmit-base in [peer.NAME.timing]",
	"dpd_maxfail": "retransmit-tries in [peer.NAME.timing]", "passive": `start = "none"`, "mode_cfg": "request-address (client) or pool (gateway)",
	"script": "session-up and session-down in [hooks]", "encryption_algorithm": "proposals", "authentication_algorithm": "proposals",
	"hash_algorithm": "proposals", "dh_group": "proposals", "pfs_group": "proposals, as in \"aes256gcm16-x25519\"",
	"compression_algorithm": "ipcomp", "authentication_method": "methods in [peer.NAME.ikev1], or left out", "nonce_size": "nowhere: it is 32 octets",
	"natt_keepalive": "keepalive in [peer.NAME.timing]", "adminsock": "socket in [control]", "isakmp": "listen in [daemon]",
	"isakmp_natt": "listen-natt in [daemon]", "network4": "addresses in [pool.NAME]", "netmask4": "addresses in [pool.NAME], with a prefix length",
	"dns4": "dns in [pool.NAME]", "wins4": "wins in [pool.NAME]", "nbns4": "wins in [pool.NAME]", "split_network": "subnets in [pool.NAME]",
	"split_dns": "domains in [pool.NAME]", "auth_source": "users of the peer, and [users.NAME]", "auth_groups": "groups in [users.NAME]",
	"auth_throttle": "delay in [users.NAME.throttle]", "pool_size": "addresses in [pool.NAME]", "remote_address": "remote", "sainfo": "[peer.NAME.child.NAME]",
	"verify_identifier": "nowhere: identities are always verified", "support_proxy": "local and remote of the Child SA", "initial_contact": "no-initial-contact in [peer.NAME.ikev1]",
	"pidfile": "pid-file", "log": "log-level in [daemon]", "timer": "[peer.NAME.timing]", "listener": "listen in [daemon]",
	// racoon2
	"my_id": "local-id", "peers_id": "remote-id", "acceptable_kmp": "versions or protocol", "peers_ipaddr": "remote", "my_public_key": "certificate and key",
	"peers_public_key": "pinned in [peer.NAME.trust]", "kmp_enc_alg": "proposals", "kmp_hash_alg": "proposals", "kmp_prf_alg": "proposals",
	"kmp_dh_group": "proposals", "kmp_auth_method": "local-auth and remote-auth", "kmp_sa_lifetime_time": "rekey in [peer.NAME.timing]",
	"need_pfs": "proposals, as in \"aes256gcm16-x25519\"", "my_principal": "principal in [kink]", "peers_principal": "principal in [peer.NAME.kink]",
	"spmd_password": "password-file in [spmd]", "ipsec_mode": "mode", "sa_protocol": "protocol", "my_sa_ipaddr": "local-address", "peers_sa_ipaddr": "remote-address",
	"ext_sequence": "proposals, as in \"aes256gcm16-esn\"", "ipsec_sa_lifetime_time": "rekey of the Child SA", "ipsec_sa_lifetime_byte": "rekey-bytes of the Child SA",
	"upper_layer_protocol": "local and remote, as in \"10.1.0.0/16[tcp/80]\"", "setval": "[macros]", "nameserver": "upstream in [spmd.dns]", "dns_query": "listen in [spmd.dns]",
	"cookie_required": "cookie-threshold = 0 in [daemon.limits]", "addresspool": "[pool.NAME]", "selector": "[policy.NAME]", "default": "[defaults]",
	// ipsec.conf and swanctl.conf
	"left": "local-address", "right": "remote", "leftid": "local-id", "rightid": "remote-id", "leftsubnet": "local of the Child SA",
	"rightsubnet": "remote of the Child SA", "leftcert": "certificate", "rightca": "ca", "auto": "start", "dpdaction": "dead-action",
	"ikelifetime": "rekey in [peer.NAME.timing]", "keyexchange": "versions", "authby": "local-auth", "local_ts": "local of the Child SA",
	"remote_ts": "remote of the Child SA", "esp_proposals": "proposals of the Child SA", "start_action": "start", "dpd_action": "dead-action",
	"conn": "[peer.NAME]", "connections": "[peer.NAME]", "cacert": "ca",
	// what one would guess
	"psk": "psk-file, since secrets are kept in files", "password": "user-password-file, since secrets are kept in files", "secret": "psk-file, since secrets are kept in files",
	"cert": "certificate", "private-key": "key", "id": "local-id", "subnet": "local and remote of the Child SA", "version": "versions", "mark": "mark-in and mark-out",
	"user": "user-name", "dpd": "liveness in [peer.NAME.timing]", "peers": "[peer.NAME]", "pools": "[pool.NAME]", "children": "[peer.NAME.child.NAME]",
	// values
	"v1": "ikev1", "v2": "ikev2", "1": "ikev1", "2": "ikev2", "pre_shared_key_": "psk", "rsasig": "signature", "yes": "on", "no": "off", "true": "on", "false": "off",
	"rsa": "signature", "ecdsa": "signature", "pubkey": "signature", "cert_": "signature", "start": "always", "route": "trap", "ondemand": "trap", "add": "none",
	"user_fqdn": "email", "user-fqdn": "email", "keyid_": "keyid", "kernel": "auto", "tun": "userspace", "allow": "bypass", "drop": "discard", "ipsec": "protect", "warning": "warn", "debug2": "debug", "notify": "info",
	"resident": "adopt",
}
