package setkey

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/pfkey"
	"github.com/racoon3/racoon/spd"
)

// ipsecToolsLanguage is every construct of the setkey language of ipsec-tools
// 0.8: its lexer's words, each alternative of its grammar, and what its sample
// files add.
var ipsecToolsLanguage = map[string][]string{
	"verbs": {
		`add 10.0.0.1 10.0.0.2 esp 0x1000 -E null ;`, `get 10.0.0.1 10.0.0.2 esp 0x1000 ;`, `getspi 10.0.0.1 10.0.0.2 esp 0 ;`, `getspi 10.0.0.1 10.0.0.2 esp 4096 -m tunnel -u 7 ;`,
		`delete 10.0.0.1 10.0.0.2 ah 4096 ;`, `delete 10.0.0.1 10.0.0.2 ah 4096 -m any ;`, `deleteall 10.0.0.1 10.0.0.2 esp ;`, `deleteall 10.0.0.1 10.0.0.2 ;`,
		`flush ;`, `flush esp ;`, `flush ah-old ;`, `dump ;`, `dump ipcomp ;`, `dump tcp;`, `exit ;`, `quit ;`, `bye ;`, `spdflush ;`, `spddump ;`,
		`update 10.0.0.1 10.0.0.2 esp 0x1000 -E null ;`,
	},
	"lookup": {
		`add -4 a.example b.example esp 0x1000 -E null ;`, `add -6 a.example b.example esp 0x1000 -E null ;`, `add -n 10.0.0.1 10.0.0.2 esp 0x1000 -E null ;`,
		`add -4n 10.0.0.1 10.0.0.2 esp 0x1000 -E null ;`, `add -n -6 ::1 ::1 esp 0x1000 -E null ;`, `spdadd -46n ::1 ::1 any -P in none ;`, `delete -4 a b. esp 300 ;`,
		`deleteall -6 a-1.example fe80::1%eth0 esp ;`, `spddelete -4 a/24 b[80] tcp -P out ;`,
	},
	"ports": {
		`add 10.0.0.1[500] 10.0.0.2[any] esp 0x1000 -E null ;`, `add 10.0.0.1 [ 500 ] 10.0.0.2[isakmp] esp-udp 0x1000 -E null ;`,
	},
	"protocols": {
		`add ::1 ::1 esp 10001 -E null ;`, `add ::1 ::1 esp-old 10003 -E des-32iv "12341234" ;`, `add ::1 ::1 ah 10001 -A hmac-md5 "1234123412341234" ;`,
		`add ::1 ::1 ah-old 10001 -A keyed-md5 "1234123412341234" ;`, `add 10.0.0.1 10.0.0.2 esp-udp 10001 -E null ;`, `add 10.0.0.1 10.0.0.2 esp-udp 192.168.0.1 10001 -E null ;`,
		`add 10.0.0.1 10.0.0.2 esp-udp inner.example 0x2711 -E null ;`, `add ::1 ::1 ipcomp 30001 -C deflate ;`, `add 10.0.0.1 10.0.0.2 tcp 0x1000 -A tcp-md5 "secret" ;`,
	},
	"extensions": {
		`add ::1 ::1 esp 10001 -m transport -E null ;`, `add ::1 ::1 esp 10001 -m tunnel -E null ;`, `add ::1 ::1 esp 10001 -m any -E null ;`, `add ::1 ::1 esp 10001 -u 65535 -E null ;`,
		`add ::1 ::1 esp 10016 -m tunnel -f random-pad -r 8 -lh 100 -ls 80 -E null ;`, `add ::1 ::1 esp 10015 -f zero-pad -E null ;`, `add ::1 ::1 esp 10017 -f seq-pad -f nocyclic-seq -E null ;`,
		`add ::1 ::1 esp 10017 -bh 1000000 -bs 800000 -E null ;`, `add ::1 ::1 esp 10017 -ctx 1 1 "system_u:object_r:ipsec_spd_t:s0" -E null ;`,
	},
	"authentication": {
		`add ::1 ::1 ah 20001 -A hmac-md5 "1234123412341234";`, `add ::1 ::1 ah 20001 -A hmac-sha1 "12341234123412341234";`, `add ::1 ::1 ah 20001 -A keyed-md5 "1234123412341234";`,
		`add ::1 ::1 ah 20001 -A keyed-sha1 "12341234123412341234";`, `add ::1 ::1 ah 20001 -A hmac-sha2-256 ` + hexKey(32) + `;`, `add ::1 ::1 ah 20001 -A hmac-sha256 ` + hexKey(32) + `;`,
		`add ::1 ::1 ah 20001 -A hmac-sha2-384 ` + hexKey(48) + `;`, `add ::1 ::1 ah 20001 -A hmac-sha384 ` + hexKey(48) + `;`, `add ::1 ::1 ah 20001 -A hmac-sha2-512 ` + hexKey(64) + `;`,
		`add ::1 ::1 ah 20001 -A hmac-sha512 ` + hexKey(64) + `;`, `add ::1 ::1 ah 20001 -A hmac-ripemd160 ` + hexKey(20) + `;`, `add ::1 ::1 ah 20001 -A aes-xcbc-mac ` + hexKey(16) + `;`,
		`add ::1 ::1 tcp 0x1000 -A tcp-md5 ` + hexKey(80) + `;`, `add ::1 ::1 esp 10004 -E null -A null ;`,
	},
	"encryption": {
		`add ::1 ::1 esp 10009 -E des-cbc "testtest" ;`, `add ::1 ::1 esp 10010 -E 3des-cbc "testtest12341234testtest" ;`, `add ::1 ::1 esp 10001 -E null ;`, `add ::1 ::1 esp 10001 -E simple ;`,
		`add ::1 ::1 esp 10012 -E blowfish-cbc "testtest1234" ;`, `add ::1 ::1 esp 10011 -E cast128-cbc "testtest1234" ;`, `add ::1 ::1 esp 10002 -E des-deriv "12341234" ;`,
		`add ::1 ::1 esp-old 10003 -E des-32iv "12341234" ;`, `add ::1 ::1 esp 10001 -E twofish-cbc ` + hexKey(32) + ` ;`, `add ::1 ::1 esp 10001 -E aes-cbc ` + hexKey(16) + ` ;`,
		`add ::1 ::1 esp 10001 -E rijndael-cbc ` + hexKey(24) + ` ;`, `add ::1 ::1 esp 10001 -E aes-ctr ` + hexKey(20) + ` ;`, `add ::1 ::1 esp 10001 -E camellia-cbc ` + hexKey(32) + ` ;`,
		`add ::1 ::1 esp 10008 -m any -E null -A keyed-sha1 "12341234123412341234" ;`, `add ::1 ::1 esp 1000 -E aes-cbc "0123456789abcdef" -A hmac-sha1 0X` + strings.Repeat("Ab", 20) + `;`,
		`add ::1 ::1 esp 1000 -E aes-gcm ` + hexKey(20) + `;`, // of its manual
	},
	"compression": {
		`add ::1 ::1 ipcomp 30001 -C deflate ;`, `add ::1 ::1 ipcomp 0x1 -C oui ;`, `add ::1 ::1 ipcomp 0x3 -C lzs -R ;`,
	},
	"selectors": {
		`spdadd 10.0.0.0/8 0.0.0.0/0 any -P in none ;`, `spdadd 10.0.0.1 10.0.0.2 tcp -P in none ;`, `spdadd ::1 ::1[9999] tcp -P out ipsec esp/transport//unique:2 ;`,
		`spdadd 10.0.1.0/24[any] 10.0.2.0/24[www] udp -P out none ;`, `spdadd ::1 ::1 icmp6 -P out none ;`, `spdadd ::1 ::1 icmp6 135,0 -P out none ;`, `spdadd ::1 ::1 icmp6 135 -P out none ;`,
		`spdadd 10.0.0.1 10.0.0.2 icmp 8,0 -P out none ;`, `spdadd 10.0.0.1 10.0.0.2 gre 1.2.3.4 -P out none ;`, `spdadd 10.0.0.1 10.0.0.2 gre 16909060 -P out none ;`, `spdadd 10.0.0.1 10.0.0.2 ip4 -P out none ;`,
		`spdadd 10.0.0.1 10.0.0.2 135 5 -P out none ;`, `spdadd 10.0.0.1 10.0.0.2 255 -P out none ;`, `spdadd 10.0.0.1 10.0.0.2 4 -P out none ;`,
		`spdadd tagged "wan" -P out none ;`, `spdupdate tagged "wan" -P out none ;`, `spdupdate ::1 ::1 any -P in none ;`, `spdadd ::1 ::1 any -ctx 1 1 "a:b:c" -P in none ;`,
		`spddelete fec0:0:0:1::/64 fec0:0:0:2::/64 any -P out;`, `spddelete ::1 ::1 any -P in ipsec ah/transport//require;`, `spddelete ::1 ::1 any -P fwd;`,
	},
	"policies": {
		`spdadd ::1 ::1 any -P in discard ;`, `spdadd ::1 ::1 any -P fwd none ;`, `spdadd ::1 ::1 any -P out bypass ;`, `spdadd ::1 ::1 any -P out entrust ;`,
		`spdadd ::1 ::1 any -P out priority 100 none ;`, `spdadd ::1 ::1 any -P out prio -100 none ;`, `spdadd ::1 ::1 any -P out prio - 100 none ;`, `spdadd ::1 ::1 any -P out prio low none ;`,
		`spdadd ::1 ::1 any -P out prio def + 1 none ;`, `spdadd ::1 ::1 any -P out prio high - 1 none ;`, `spdadd ::1 ::1 any -P out prio high+10 none ;`,
		`spdadd ::1 ::1 any -P out ipsec esp/transport ;`, `spdadd ::1 ::1 any -P out ipsec esp/transport/ ;`, `spdadd ::1 ::1 any -P out ipsec ah/any//default ;`,
		`spdadd ::1 ::1 any -P out ipsec esp/transport//use ;`, `spdadd ::1 ::1 any -P out ipsec esp/transport//require ;`, `spdadd ::1 ::1 any -P out ipsec esp/transport//unique ;`,
		`spdadd ::1 ::1 any -P out ipsec esp/transport//unique:32767 ;`, `spdadd ::1 ::1 any -P out ipsec esp/tunnel/10.0.0.1-10.0.0.2 ;`, `spdadd ::1 ::1 any -P out ipsec esp/tunnel/10.0.0.1-10.0.0.2/ ;`,
		`spdadd ::1 ::1 any -P out ipsec esp/tunnel/10.0.0.1[4500]-10.0.0.2[4500]/require ;`,
		"spdadd 10.0.0.0/24 10.0.1.0/24 any -P out ipsec\n\tipcomp/transport//use # a bundle\n\tesp/tunnel/fec0::1-fec0::2/require\n\tah/transport//require\n;",
	},
	"layout": {
		"#comment\nflush\n;#another; comment\nspdflush;", "add ::1\t::1 # a comment; with a semicolon\n esp\n10001 -E\n\nnull;", `add ::1 ::1 ah 300 -A hmac-md5 "semi;colon #hash";`, ";;flush;;",
	},
}

// hexKey is a key of n octets.
func hexKey(n int) string {
	s := "0x"
	for i := range n {
		s += fmt.Sprintf("%02x", i)
	}
	return s
}

// withoutPositions makes statements comparable.
func withoutPositions(all []Statement) []Statement {
	for _, s := range all {
		switch s := s.(type) {
		case *SAStatement:
			s.Position = Position{}
		case *PolicyStatement:
			s.Position = Position{}
		case *Command:
			s.Position = Position{}
		}
	}
	return all
}

// TestLanguage: every construct is read, and what is printed is read the same.
func TestLanguage(t *testing.T) {
	for group, texts := range ipsecToolsLanguage {
		for _, text := range texts {
			all, err := Parse(group, []byte(text))
			require.NoError(t, err, text)
			require.NotEmpty(t, all, text)
			var again []string
			for _, s := range all {
				again = append(again, Format(s))
			}
			same, err := Parse(group, []byte(strings.Join(again, "\n")))
			require.NoError(t, err, again)
			require.Equal(t, withoutPositions(all), withoutPositions(same), "%s\n%s", text, again)
		}
	}
}

func TestParse(t *testing.T) {
	all, err := Parse("f", []byte(`
# Two hosts.
add -4 a.example[4500] 10.0.0.2 esp-udp 192.168.0.7 0xCafe01
	-m transport -u 7 -r 4 -f zero-pad -f nocyclic-seq -lh 100 -ls 80 -bh 1000 -bs 900
	-ctx 1 2 "label" -E rijndael-cbc "0123456789abcdef" -A hmac-sha2-256 0x1`+strings.Repeat("23", 31)+` ;
add 10.0.0.1 10.0.0.2 ipcomp 2 -C deflate -R;
spdadd -n 10.0.1.0/24[any] fd00::1[80] tcp -P out prio high + 10 ipsec esp/tunnel/10.0.0.1-10.0.0.2/unique:9;
spdadd ::1 ::1 gre 1.2.3.4 -P in none;
spddelete ::1 ::1 58 136,1 -P in;
quit;`))
	require.NoError(t, err)
	key := spd.Key("\x01" + strings.Repeat("\x23", 31))
	require.Equal(t, []Statement{
		&SAStatement{Position: Position{"f", 3, 1}, Verb: VerbAdd, Lookup: Lookup{IPv4: true}, Src: Host{"a.example", "4500"}, Dst: Host{Name: "10.0.0.2"}, Proto: ProtoESPUDP,
			Original: "192.168.0.7", SPI: 0xcafe01, Mode: pfkey.ModeTransport, ReqID: 7, Replay: 4, Padding: PadZero, NoCyclic: true, Hard: Limits{100, 1000}, Soft: Limits{80, 900},
			Context: &Context{1, 2, "label"}, Encrypt: Algorithm{"aes-cbc", spd.Key("0123456789abcdef")}, Auth: Algorithm{"hmac-sha256", key}},
		&SAStatement{Position: Position{"f", 6, 1}, Verb: VerbAdd, Src: Host{Name: "10.0.0.1"}, Dst: Host{Name: "10.0.0.2"}, Proto: ProtoIPComp, SPI: 2, Compress: "deflate", RawCPI: true},
		&PolicyStatement{Position: Position{"f", 7, 1}, Verb: VerbSPDAdd, Lookup: Lookup{Numeric: true}, Src: Range{Host{Name: "10.0.1.0"}, 24}, Dst: Range{Host{"fd00::1", "80"}, -1}, Proto: 6,
			Policy: pfkey.Policy{Type: pfkey.PolicyIPsec, Dir: pfkey.DirOut, Priority: 0x40000000 - 10, Requests: []pfkey.Request{{Proto: 50, Mode: pfkey.ModeTunnel, Level: pfkey.LevelUnique, ReqID: 9,
				Src: pfkey.SockAddr{Addr: netip.MustParseAddr("10.0.0.1")}, Dst: pfkey.SockAddr{Addr: netip.MustParseAddr("10.0.0.2")}}}}},
		&PolicyStatement{Position: Position{"f", 8, 1}, Verb: VerbSPDAdd, Src: Range{Host{Name: "::1"}, -1}, Dst: Range{Host{Name: "::1"}, -1}, Proto: 47, Detail: &Detail{0x102, 0x304},
			Policy: pfkey.Policy{Type: pfkey.PolicyNone, Dir: pfkey.DirIn, Priority: 0x80000000}},
		&PolicyStatement{Position: Position{"f", 9, 1}, Verb: VerbSPDDelete, Src: Range{Host{Name: "::1"}, -1}, Dst: Range{Host{Name: "::1"}, -1}, Proto: 58, Detail: &Detail{136, 1},
			Policy: pfkey.Policy{Dir: pfkey.DirIn}, OnlyDirection: true},
		&Command{Position: Position{"f", 10, 1}, Verb: VerbExit},
	}, all)
}

// TestErrors: each mistake is told with line, column, the word and what was
// expected there.
func TestErrors(t *testing.T) {
	for text, want := range map[string]string{
		"frob ;":                                                        `f:1:1: "frob": expected add, update,`,
		"\n\n  \"add\" ;":                                               `f:3:3: a string of 3 octets: expected add`,
		"flush esp":                                                     `f:1:10: the file ends within a statement; expected ;`,
		"add \"x\n;":                                                    `f:1:5: a string without its closing quote`,
		"flush foo;":                                                    `f:1:7: "foo": expected esp, ah,`,
		"flush esp ah;":                                                 `f:1:11: "ah": expected ;`,
		"spddump esp;":                                                  `f:1:9: "esp": expected ;`,
		"flush\n*;":                                                     `f:2:1: "*": expected esp`,
		"add ;":                                                         `f:1:5: the end of the statement: expected the source, an address`,
		"add -4 ::1 ::1 esp 300 -E null;":                               `f:1:8: "::1": the source is an address of the family`,
		"add -n a ::1 esp 300 -E null;":                                 `f:1:10: "::1"`, // below: -n a
		"add 10.0.0.1 10.0.0.256 esp 1 -E null;":                        `f:1:14: "10.0.0.256": expected the destination, an IPv4 or IPv6 address`,
		"add ::1[http ::1 esp 1 -E null;":                               `f:1:14: "::1": expected ]`,
		"add ::1[70000] ::1 esp 1 -E null;":                             `f:1:9: "70000": a port is 65535 at most`,
		"add ::1 ::1 sctp 300 -E null;":                                 `f:1:13: "sctp": expected esp, ah`,
		"add ::1 ::1 esp 0x -E null;":                                   `f:1:17: "0x": expected the SPI`,
		"add ::1 ::1 esp 4294967296 -E null;":                           `f:1:17: "4294967296": an SPI has 32 bits`,
		"add ::1 ::1 esp 255 -E null;":                                  `f:1:17: "255": the SPIs 0 to 255 are reserved`,
		"add ::1 ::1 ipcomp 65536 -C deflate;":                          `f:1:20: "65536": the SPI of ipcomp, a CPI, has 16 bits`,
		"add ::1 ::1 esp 300 -m beet -E null;":                          `f:1:24: "beet": expected transport, tunnel or any`,
		"add ::1 ::1 esp 300 -u x -E null;":                             `f:1:24: "x": expected the request ID, a decimal number`,
		"add ::1 ::1 esp 300 -u 4294967296;":                            `f:1:24: "4294967296": the request ID is 4294967295 at most`,
		"add ::1 ::1 esp 300 -f big;":                                   `f:1:24: "big": expected zero-pad, random-pad, seq-pad or nocyclic-seq`,
		"add ::1 ::1 esp-old 300 -r 4 -E null;":                         `f:1:25: "-r": esp-old has no sequence numbers`,
		"add ::1 ::1 esp 300 -ctx 1 1 x;":                               `f:1:30: "x": expected the security context in quotes`,
		"add ::1 ::1 esp 300;":                                          `f:1:20: the end of the statement: expected -m, -u, -r, -f, -lh, -ls, -bh, -bs, -ctx or -E`,
		"add ::1 ::1 esp 300 -A hmac-md5 \"k\";":                        `f:1:21: "-A": expected`,
		"add ::1 ::1 ah 300 -E null;":                                   `f:1:20: "-E": expected -m, -u, -r, -f, -lh, -ls, -bh, -bs, -ctx or -A`,
		"add ::1 ::1 ipcomp 300 -E null;":                               `f:1:24: "-E": expected -m, -u, -r, -f, -lh, -ls, -bh, -bs, -ctx or -C`,
		"add ::1 ::1 ipcomp 300 -C gzip;":                               `f:1:27: "gzip": expected deflate, oui or lzs`,
		"add ::1 ::1 ipcomp 300 -C lzs -X;":                             `f:1:31: "-X": expected -R or ;`,
		"add ::1 ::1 esp 300 -E rc5-cbc \"k\";":                         `f:1:24: "rc5-cbc": expected des-cbc, 3des-cbc,`,
		"add ::1 ::1 esp 300 -E null \"k\";":                            `f:1:29: a string of 1 octets: null takes no key`,
		"add ::1 ::1 esp 300 -E des-32iv \"k\";":                        `f:1:24: "des-32iv": the algorithm is for esp-old only`,
		"add ::1 ::1 esp 300 -E null -B;":                               `f:1:29: "-B": expected -A or ;`,
		"add ::1 ::1 esp 300 -E null -A md5 0x1;":                       `f:1:32: "md5": expected hmac-md5`,
		"add ::1 ::1 ah 300 -A tcp-md5 \"k\";":                          `f:1:23: "tcp-md5": tcp and tcp-md5 are for each other alone`,
		"add ::1 ::1 tcp 4096 -A null;":                                 `f:1:25: "null": tcp and tcp-md5 are for each other alone`,
		"get ::1 ::1 esp 300 -E null;":                                  `f:1:21: "-E": expected an extension`,
		"deleteall ::1 ::1 esp 300;":                                    `f:1:23: "300": expected ;`,
		"spdadd ::1/129 ::1 any -P in none;":                            `f:1:12: "129": the prefix length is 128 at most`,
		"spdadd 10.0.0.0/33 ::1 any -P in none;":                        `f:1:17: "33": the prefix length is 32 at most`,
		"spdadd fe80::1%eth0 ::1 any -P in none;":                       `f:1:8: "fe80::1%eth0": a policy's address has no zone`,
		"spdadd ::1 ::1 foo -P in none;":                                `f:1:16: "foo": expected the upper-layer protocol`,
		"spdadd ::1 ::1 256 -P in none;":                                `f:1:16: "256": a protocol's number is 255 at most`,
		"spdadd ::1 ::1 tcp 1,2 -P in none;":                            `f:1:20: "1,2": expected -ctx or -P`,
		"spdadd ::1 ::1 icmp6 x -P in none;":                            `f:1:22: "x": expected type,code`,
		"spdadd ::1[1] ::1 icmp6 1 -P in none;":                         `f:1:25: "1": icmp6 has these or ports, not both`,
		"spdadd ::1 ::1 gre 1.2.3 -P in none;":                          `f:1:20: "1.2.3": expected the key of gre`,
		"spdadd ::1 ::1 any in none;":                                   `f:1:20: "in": expected -ctx or -P`,
		"spdadd ::1 ::1 any -P\n  in\n  nothing;":                       `f:3:3: "nothing" is not discard, none, ipsec`,
		"spdadd ::1 ::1 any -P in;":                                     `f:1:25: nothing to do`,
		"spdadd ::1 ::1 any -P in # x\n ipsec\n esp/transport/::1/use;": `f:3:16:`,
		"spdadd tagged wan -P in none;":                                 `f:1:15: "wan": expected the tag in quotes`,
		"spddelete tagged \"wan\" -P in none;":                          `f:1:18: a string of 3 octets: expected the destination`,
		strings.Repeat("x", 1<<17) + ";":                                `f:1:1: a statement of more than 64 KiB`,
	} {
		if text == "add -n a ::1 esp 300 -E null;" {
			want = `f:1:8: "a": expected the source, an IPv4 or IPv6 address`
		}
		all, err := Parse("f", []byte(text))
		require.ErrorContains(t, err, want, text)
		require.ErrorIs(t, err, ErrSyntax)
		require.Empty(t, all, text)
		var bad *SyntaxError
		require.ErrorAs(t, err, &bad)
	}
}

// TestKeysStaySecret: neither an error nor %v tells a key.
func TestKeysStaySecret(t *testing.T) {
	for _, text := range []string{
		`add ::1 ::1 esp 300 -E aes-cbc "hunter2hunter2hu" "hunter2hunter2hu";`, `add ::1 ::1 esp 300 -E aes-cbc "hunter2";`, `add ::1 ::1 esp 300 -E aes-cbc hunter2hunter2hu;`,
		`add ::1 ::1 esp 300 -E aes-cbc 0x68756e74657232;`, `add ::1 ::1 esp 300 -E null 0x68756e74657232;`, `add ::1 ::1 esp 300 -E null "hunter2";`,
	} {
		_, err := Parse("f", []byte(text))
		require.Error(t, err, text)
		require.NotContains(t, err.Error(), "hunter2")
		require.NotContains(t, err.Error(), "68756e74")
	}
	all, err := Parse("f", []byte(`add ::1 ::1 esp 300 -E aes-cbc "hunter2hunter2hu";`))
	require.NoError(t, err)
	for _, s := range []string{fmt.Sprintf("%v %+v %s", all[0], all[0], all[0].(*SAStatement).Encrypt)} {
		require.NotContains(t, s, "hunter2")
		require.NotContains(t, s, "104 117 110")
	}
}

// TestKeyLengths: an algorithm takes the keys that it has and no others.
func TestKeyLengths(t *testing.T) {
	for _, a := range algorithms {
		option, proto := "-E", "esp"
		switch {
		case a.kind == pfkey.AlgCompress:
			continue
		case a.names[0] == "tcp-md5":
			option, proto = "-A", "tcp"
		case a.kind == pfkey.AlgAuth:
			option, proto = "-A", "ah"
		case a.old == oldOnly:
			proto = "esp-old"
		}
		if a.keys.none() {
			continue
		}
		for n := 1; n <= 90; n++ {
			for _, name := range a.names {
				_, err := Parse("f", fmt.Appendf(nil, "add ::1 ::1 %s 0x1000 %s %s %s;", proto, option, name, hexKey(n)))
				if a.keys.fits(n) {
					require.NoError(t, err)
					require.NoError(t, CheckKey(a.kind, Algorithm{name, make(spd.Key, n)}))
					continue
				}
				require.ErrorContains(t, err, fmt.Sprintf("a key of %d octets: %s takes %v octets", n, a.names[0], a.keys))
				require.Error(t, CheckKey(a.kind, Algorithm{name, make(spd.Key, n)}))
			}
		}
	}
	require.ErrorContains(t, CheckKey(pfkey.AlgEncrypt, Algorithm{"aes-cbc", make(spd.Key, 20)}), "aes-cbc takes a key of 16, 24 or 32 octets, not 20")
}

// TestSystemsAlgorithms: what a system has an algorithm for, the language has a
// name for, but for what no manual SA can use.
func TestSystemsAlgorithms(t *testing.T) {
	without := map[string]bool{"lzjh": true, "aes-128-gmac": true, "aes-192-gmac": true, "aes-256-gmac": true, "auth chacha20-poly1305": true}
	for _, d := range pfkey.Dialects() {
		for _, a := range d.Algorithms() {
			if without[a.Name] || a.Kind == pfkey.AlgAuth && without["auth "+a.Name] {
				continue
			}
			require.NotNil(t, algorithmNamed(a.Kind, printed(a.Kind, a.Name)), "%v: %s", d, a.Name)
		}
	}
}

// TestParserGoesOn: after a mistake the next statement is read.
func TestParserGoesOn(t *testing.T) {
	all, err := Parse("f", []byte("flush;\nfoo;\nspdflush; bar \"x;y\";\ndump;"))
	require.Len(t, all, 3)
	require.ErrorContains(t, err, "f:2:1")
	require.ErrorContains(t, err, "f:3:11")
	_, err = Parse("f", []byte(strings.Repeat("x;", 1000)))
	require.Equal(t, maxErrors, strings.Count(err.Error(), "expected"))

	all, err = Parse("f", []byte("flush; quit; no statement; \"no string\ndump;"))
	require.NoError(t, err)
	require.Equal(t, []Verb{VerbFlush, VerbExit}, []Verb{all[0].What(), all[1].What()})
	require.Len(t, all, 2)
	_, err = Parse("f", []byte("foo; exit; bar;"))
	require.ErrorContains(t, err, "f:1:1")
	require.NotContains(t, err.Error(), "bar")

	broken := errors.New("disk on fire")
	p := NewParser("f", readers{strings.NewReader("flush; dump"), broken})
	_, err = p.Next()
	require.NoError(t, err)
	_, err = p.Next()
	require.ErrorIs(t, err, broken)
}

type readers struct {
	r   *strings.Reader
	err error
}

func (r readers) Read(b []byte) (int, error) {
	if n, _ := r.r.Read(b); n > 0 {
		return n, nil
	}
	return 0, r.err
}

// names are the hosts and services of tests.
type names map[string][]string

func (n names) LookupNetIP(_ context.Context, network, host string) (all []netip.Addr, err error) {
	for _, s := range n[host] {
		a := netip.MustParseAddr(s)
		if network == "ip" || network == "ip4" == a.Is4() {
			all = append(all, a)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("lookup %s: no such host", host)
	}
	return all, nil
}

func (n names) LookupPort(_ context.Context, network, service string) (int, error) {
	if network == "udp" && service == "isakmp" {
		return 500, nil
	}
	return 0, fmt.Errorf("lookup %s/%s: unknown port", network, service)
}

func FuzzParse(f *testing.F) {
	for _, texts := range ipsecToolsLanguage {
		for _, text := range texts {
			f.Add([]byte(text))
		}
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		all, err := Parse("f", src)
		if err != nil && !errors.Is(err, ErrSyntax) {
			t.Fatalf("%v", err)
		}
		var again []string
		for _, s := range all {
			again = append(again, Format(s))
		}
		same, err := Parse("f", []byte(strings.Join(again, "\n")))
		require.NoError(t, err, again)
		require.Equal(t, withoutPositions(all), withoutPositions(same), again)
	})
}
