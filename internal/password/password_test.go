package password

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestOthersHashes checks hashes that other programs have made.
func TestOthersHashes(t *testing.T) {
	for _, c := range []struct{ from, password, hash, params string }{
		{"libxcrypt", "U*U", "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "bcrypt 5"},
		{"crypt_blowfish", "U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "bcrypt 5"},
		{"htpasswd's prefix", "U*U", "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "bcrypt 5"},
		{"libxcrypt", strings.Repeat("x", 73), "$2b$04$CCCCCCCCCCCCCCCCCCCCC.ug0A3dTXhy5U.dFjx/qguZ8I4CB77BC", "bcrypt 4"},
		{"openssl", "Hello world!", "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", "SHA-256-crypt 5000"},
		{"openssl", "Hello world!", "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1", "SHA-512-crypt 5000"},
		{"libxcrypt", "This is just a test", "$5$rounds=1400$anotherlongsalt$s.VLT9RhsQk/ba9ersDzlriw8c57Ncvy5cl5yE01yVB", "SHA-256-crypt 1400"},
		{"libxcrypt", "we have a short salt string but not a short password", "$6$rounds=77777$short$WuQyW2YR.hBNpjjRhpYD/ifIw05xdfeEyQoMxIXbkvr0gge1a1x3yRULJ5CCaUeOxFmtlcGZelFl5CxtgfiAc0", "SHA-512-crypt 77777"},
		{"libxcrypt", "", "$6$abcdefgh$v7sYNA18/BerGOYQLppYLyjH4yJilp8kqe/ef3KYMK9hOIdzH1yzcmP74Ay.m51y1jP3QqxM7Jl75S4CxDhBq.", "SHA-512-crypt 5000"},
		{"libxcrypt", "pässwörd", "$5$x$Mf0xB8lGxJG3Vu9eJMicE4lrLk3adpWzOQ3sofvKXx3", "SHA-256-crypt 5000"},
		{"the reference implementation", "password", "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", "argon2id m=256,t=2,p=1"},
		{"the reference implementation", "password", "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+sCcFanM2xBT63UP2sghkUoHLIUpWRS8", "argon2i m=256,t=2,p=1"},
		{"RFC 7914 12", "password", "$scrypt$ln=10,r=8,p=16$TmFDbA$/bq+HJ00cgB4VucZDQHp/nxq18vII3gw53N2Y0s3MWIurzDZLiKjiG/xCSedmDDaxyevuUqD7m2DYMvfoswGQA", "scrypt ln=10,r=8,p=16"},
	} {
		h, err := Parse(c.hash)
		require.NoError(t, err, c.hash)
		require.Equal(t, c.params, h.Params())
		require.True(t, h.Verify([]byte(c.password)), c.hash)
		wrong := "X" + c.password // at the beginning, for bcrypt sees 72 octets
		require.False(t, h.Verify([]byte(wrong)), c.hash)
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
			require.Equal(t, c.params+" hash", fmt.Sprintf(verb, h))
		}
	}
}

func TestRefused(t *testing.T) {
	long := strings.Repeat("A", 200)
	for hash, want := range map[string]string{
		"":                                       "the password itself?",
		"secret":                                 "the password itself?",
		"$apr1$mLqeNyfE$iGgS8d.8l1Eo6ldv5oXBo/":  "Apache's MD5 (apr1) is not supported; make a bcrypt hash",
		"$1$mLqeNyfE$iGgS8d.8l1Eo6ldv5oXBo/":     "MD5-crypt is not supported",
		"$y$j9T$abc$def":                         "yescrypt",
		"{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=":      "unsalted SHA-1",
		"rqXexS6ZhobKA":                          "DES-crypt",
		"!":                                      "locked account",
		"!!":                                     "locked account",
		"*":                                      "locked account",
		"$9$x$y":                                 "unknown kind",
		"$2b$18$" + long[:53]:                    "cost 18, at most 17",
		"$2b$31$" + long[:53]:                    "cost 31",
		"$2b$05$" + long[:52]:                    "cut off",
		"$2b$05$" + long[:52] + "-":              "characters",
		"$2b$05$":                                "malformed",
		"$6$rounds=999999999$salt$" + long[:86]:  "rounds must be 1000 to 5000000",
		"$6$rounds=10$salt$" + long[:86]:         "rounds must be",
		"$6$rounds=-1$salt$" + long[:86]:         "rounds must be",
		"$6$salt$" + long[:85]:                   "cut off",
		"$6$" + long[:17] + "$" + long[:86]:      "malformed",
		"$5$salt":                                "malformed",
		"$argon2d$v=19$m=256,t=2,p=1$AAAA$AAAA":  "Argon2d is not",
		"$argon2id$m=256,t=2,p=1$AAAA$" + long:   "version 19",
		"$argon2id$v=19$m=256,t=2$AAAA$" + long:  "parameters must be m, t, p",
		"$argon2id$v=19$t=2,m=256,p=1$AAAA$AAAA": "parameter 1 must be m",
		"$argon2id$v=19$m=4194304,t=2,p=1$AAAA$AAAAAAAAAAAAAAAAAAAA": "m 8 for each lane to 1048576",
		"$argon2id$v=19$m=256,t=0,p=1$AAAA$AAAAAAAAAAAAAAAAAAAA":     "t 1 to",
		"$argon2id$v=19$m=256,t=2,p=0$AAAA$AAAAAAAAAAAAAAAAAAAA":     "p must be 1",
		"$argon2id$v=19$m=7,t=2,p=1$AAAA$AAAAAAAAAAAAAAAAAAAA":       "m 8 for each",
		"$argon2id$v=19$m=256,t=2,p=1$AAAA$AAAA":                     "of 12 to",
		"$argon2id$v=19$m=256,t=2,p=1$AA=A$AAAAAAAAAAAAAAAAAAAA":     "base64 without padding",
		"$argon2id$v=19$m=256,t=2,p=1$AAAA$" + long:                  "of 12 to 128",
		"$scrypt$ln=30,r=8,p=1$AAAA$AAAAAAAAAAAAAAAAAAAA":            "more than 1024 MiB",
		"$scrypt$ln=24,r=8,p=1$AAAA$AAAAAAAAAAAAAAAAAAAA":            "more than 1024 MiB",
		"$scrypt$ln=0,r=8,p=1$AAAA$AAAAAAAAAAAAAAAAAAAA":             "outside ln 1",
		"$scrypt$ln=10,r=8$AAAA$AAAAAAAAAAAAAAAAAAAA":                "parameters must be ln, r, p",
	} {
		_, err := Parse(hash)
		require.ErrorIs(t, err, ErrHash, hash)
		require.ErrorContains(t, err, want, hash)
		if len(hash) > 5 {
			require.NotContains(t, err.Error(), hash[len(hash)-5:], "no part of a hash is shown")
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW")
	f.Add("$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5")
	f.Add("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4")
	f.Add("$scrypt$ln=10,r=8,p=16$TmFDbA$AAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, s string) {
		h, err := Parse(s)
		if (h == nil) == (err == nil) {
			t.Fatal(h, err)
		}
		if h != nil && cheap(h.Params()) && h.Verify([]byte("no such password")) {
			t.Fatal("verified")
		}
	})
}

// cheap keeps the fuzzer from computing for seconds.
func cheap(params string) bool {
	return strings.HasPrefix(params, "bcrypt 4") || params == "SHA-256-crypt 1000" || params == "SHA-256-crypt 5000" || strings.HasPrefix(params, "argon2id m=8,t=1,")
}

func BenchmarkVerify(b *testing.B) {
	for _, s := range []string{
		"$2b$10$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
		"$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
		"$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
	} {
		h, err := Parse(s)
		require.NoError(b, err)
		b.Run(strings.ReplaceAll(h.Params(), " ", "-"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				h.Verify([]byte("password"))
			}
		})
	}
}
