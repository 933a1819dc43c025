package krb

import (
	"bytes"
	"crypto/aes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// unhex decodes hexadecimal with white space.
func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		panic(err)
	}
	return b
}

func newKey(t testing.TB, e EType, octets string) *Key {
	k, err := NewKey(e, unhex(octets))
	require.NoError(t, err)
	return k
}

// RFC 3961 A.1.
func TestNfold(t *testing.T) {
	for _, c := range []struct {
		in   string
		bits int
		want string
	}{
		{"012345", 64, "be072631276b1955"},
		{"password", 56, "78a07b6caf85fa"},
		{"Rough Consensus, and Running Code", 64, "bb6ed30870b7f0e0"},
		{"password", 168, "59e4a8ca7c0385c3c37b3f6d2000247cb6e6bd5b3e"},
		{"MASSACHVSETTS INSTITVTE OF TECHNOLOGY", 192, "db3b0d8f0b061e603282b308a50841229ad798fab9540c1b"},
		{"Q", 168, "518a54a2 15a8452a 518a54a2 15a8452a 518a54a2 15"},
		{"ba", 168, "fb25d531 ae897449 9f52fd92 ea9857c4 ba24cf29 7e"},
		{"kerberos", 64, "6b657262 65726f73"},
		{"kerberos", 128, "6b657262 65726f73 7b9b5b2b 93132b93"},
		{"kerberos", 168, "8372c236 344e5f15 50cd0747 e15d62ca 7a5a3bce a4"},
		{"kerberos", 256, "6b657262 65726f73 7b9b5b2b 93132b93 5c9bdcda d95c9899 c4cae4de e6d6cae4"},
	} {
		out := make([]byte, c.bits/8)
		nfold(out, []byte(c.in))
		require.Equal(t, unhex(c.want), out, "%d-fold(%q)", c.bits, c.in)
	}
}

// RFC 3961 A.3.
func TestDES3Derivation(t *testing.T) {
	for _, c := range [][3]string{
		{"dce06b1f64c857a11c3db57c51899b2cc1791008ce973b92", "0000000155", "925179d04591a79b5d3192c4a7e9c289b049c71f6ee604cd"},
		{"5e13d31c70ef765746578531cb51c15bf11ca82c97cee9f2", "00000001aa", "9e58e5a146d9942a101c469845d67a20e3c4259ed913f207"},
		{"98e6fd8a04a4b6859b75a176540b9752bad3ecd610a252bc", "0000000155", "13fef80d763e94ec6d13fd2ca1d085070249dad39808eabf"},
		{"622aec25a2fe2cad7094680b7c64940280084c1a7cec92b5", "00000001aa", "f8dfbf04b097e6d9dc0702686bcb3489d91fd9a4516b703e"},
		{"d3f8298ccb166438dcb9b93ee5a7629286a491f838f802fb", "6b65726265726f73", "2370da575d2a3da864cebfdc5204d56df779a7df43d9da43"},
		{"c1081649ada74362e6a1459d01dfd30d67c2234c940704da", "0000000155", "348057ec98fdc48016161c2a4c7a943e92ae492c989175f7"},
		{"5d154af238f46713155719d55e2f1f790dd661f279a7917c", "00000001aa", "a8808ac267dada3dcbe9a7c84626fbc761c294b01315e5c1"},
		{"798562e049852f57dc8c343ba17f2ca1d97394efc8adc443", "0000000155", "c813f88a3be3b334f75425ce9175fbe3c8493b89c8703b49"},
		{"26dce334b545292f2feab9a8701a89a4b99eb9942cecd016", "00000001aa", "f48ffd6e83f83e7354e694fd252cf83bfe58f7d5ba37ec5d"},
	} {
		require.Equal(t, unhex(c[2]), newKey(t, DES3SHA1, c[0]).derive(unhex(c[1]), 24))
	}
}

// RFC 3962 Appendix B.
func TestCiphertextStealing(t *testing.T) {
	c, err := aes.NewCipher([]byte("chicken teriyaki"))
	require.NoError(t, err)
	text := []byte("I would like the General Gau's Chicken, please, and wonton soup.")
	for n, want := range map[int]string{
		17: "c6353568f2bf8cb4d8a580362da7ff7f 97",
		31: "fc00783e0efdb2c1d445d4c8eff7ed22 97687268d6ecccc0c07b25e25ecfe5",
		32: "39312523a78662d5be7fcbcc98ebf5a8 97687268d6ecccc0c07b25e25ecfe584",
		47: "97687268d6ecccc0c07b25e25ecfe584 b3fffd940c16a18c1b5549d2f838029e 39312523a78662d5be7fcbcc98ebf5",
		48: "97687268d6ecccc0c07b25e25ecfe584 9dad8bbb96c4cdc03bc103e1a194bbd8 39312523a78662d5be7fcbcc98ebf5a8",
		64: "97687268d6ecccc0c07b25e25ecfe584 39312523a78662d5be7fcbcc98ebf5a8 4807efe836ee89a526730dbc2f7bc840 9dad8bbb96c4cdc03bc103e1a194bbd8",
	} {
		b := bytes.Clone(text[:n])
		encryptCTS(c, b)
		require.Equal(t, unhex(want), b, "%d octets", n)
		decryptCTS(c, b)
		require.Equal(t, text[:n], b, "%d octets", n)
	}
}

// RFC 8009 Appendix A: derivation, encryption, checksum and PRF.
func TestRFC8009(t *testing.T) {
	type enc struct{ plain, confounder, cipher string }
	const b16, b21 = "000102030405060708090A0B0C0D0E0F", "000102030405060708090A0B0C0D0E0F1011121314"
	for _, c := range []struct {
		e                   EType
		key, kc, ke, ki     string
		encs                []enc
		checksum, prf, salt string
		s2k                 string
	}{
		{AES128SHA256, "3705D96080C17728A0E800EAB6E0D23C", "B31A018A48F54776F403E9A396325DC3", "9B197DD1E8C5609D6E67C3E37C62C72E", "9FDA0E56AB2D85E1569A688696C26A6C", []enc{
			{"", "7E5895EAF2672435BAD817F545A37148", "EF85FB890BB8472F4DAB20394DCA781D AD877EDA39D50C870C0D5A0A8E48C718"},
			{"000102030405", "7BCA285E2FD4130FB55B1A5C83BC5B24", "84D7F30754ED987BAB0BF3506BEB09CFB55402CEF7E6 877CE99E247E52D16ED4421DFDF8976C"},
			{b16, "56AB21713FF62C0A1457200F6FA9948F", "3517D640F50DDC8AD3628722B3569D2AE07493FA8263254080EA65C1008E8FC2 95FB4852E7D83E1E7C48C37EEBE6B0D3"},
			{b21, "A7A4E29A4728CE10664FB64E49AD3FAC", "720F73B18D9859CD6CCB4346115CD336C70F58EDC0C4437C5573544C31C813BCE1E6D072C1 86B39A413C2F92CA9B8334A287FFCBFC"},
		}, "D783671866 43D67B411CBA9139FC1DEE", "9D188616F63852FE86915BB840B4A886FF3E6BB0F819B49B893393D393854295", "10DF9DD783E5BC8ACEA1730E74355F61", "089BCA48B105EA6EA77CA5D2F39DC5E7"},
		{AES256SHA384, "6D404D37FAF79F9DF0D33568D320669800EB4836472EA8A026D16B7182460C52", "EF5718BE86CC84963D8BBB5031E9F5C4BA41F28FAF69E73D",
			"56AB22BEE63D82D7BC5227F6773F8EA7A5EB1C825160C38312980C442E5C7E49", "69B16514E3CD8E56B82010D5C73012B622C4D00FFC23ED1F", []enc{
				{"", "F764E9FA15C276478B2C7D0C4E5F58E4", "41F53FA5BFE7026D91FAF9BE959195A0 58707273A96A40F0A01960621AC612748B9BBFBE7EB4CE3C"},
				{"000102030405", "B80D3251C1F6471494256FFE712D0B9A", "4ED7B37C2BCAC8F74F23C1CF07E62BC7B75FB3F637B9 F559C7F664F69EAB7B6092237526EA0D1F61CB20D69D10F2"},
				{b16, "53BF8A0D105265D4E276428624CE5E63", "BC47FFEC7998EB91E8115CF8D19DAC4BBBE2E163E87DD37F49BECA92027764F6 8CF51F14D798C2273F35DF574D1F932E40C4FF255B36A266"},
				{b21, "763E65367E864F02F55153C7E3B58AF1", "40013E2DF58E8751957D2878BCD2D6FE101CCFD556CB1EAE79DB3C3EE86429F2B2A602AC86 FEF6ECB647D6295FAE077A1FEB517508D2C16B4192E01F62"},
			}, "45EE791567EEFCA37F4AC1E0222DE80D43C3BFA06699672A",
			"9801F69A368C2BF675E59521E177D9A07F67EFE1CFDE8D3C8D6F6A0256E3B17DB3C1B62AD1B8553360D17367EB1514D2", "10DF9DD783E5BC8ACEA1730E74355F61", "45BD806DBF6A833A9CFFC1C94589A222367A79BC21C413718906E9F578A78467"},
	} {
		k := newKey(t, c.e, c.key)
		require.Equal(t, unhex(c.kc), k.derive(unhex("0000000299"), k.p.macKey))
		require.Equal(t, unhex(c.ke), k.derive(unhex("00000002aa"), k.p.keyLen))
		require.Equal(t, unhex(c.ki), k.derive(unhex("0000000255"), k.p.macKey))
		for _, e := range c.encs {
			got, err := k.Encrypt([]byte("x"), 2, unhex(e.plain), bytes.NewReader(unhex(e.confounder)))
			require.NoError(t, err)
			require.Equal(t, append([]byte("x"), unhex(e.cipher)...), got)
			back, err := k.Decrypt(2, unhex(e.cipher))
			require.NoError(t, err)
			require.Equal(t, unhex(e.plain), append([]byte{}, back...))
		}
		require.Equal(t, unhex(c.checksum), k.appendMIC(nil, 2, unhex(b21)))
		require.Equal(t, unhex(c.prf), k.AppendPRF(nil, PRFStandard, []byte("te"), []byte("st")))
		require.Equal(t, unhex(c.prf), k.AppendPRF(nil, PRFRacoon2, []byte("test")))
		s2k, err := StringToKey(c.e, "password", append(unhex(c.salt), "ATHENA.MIT.EDUraeburn"...), 32768)
		require.NoError(t, err)
		require.True(t, s2k.Equal(newKey(t, c.e, c.s2k)))
	}
}

// RFC 3961 A.4 and RFC 3962 Appendix B.
func TestStringToKey(t *testing.T) {
	for _, c := range []struct {
		e              EType
		password, salt string
		iterations     uint32
		want           string
	}{
		{DES3SHA1, "password", "ATHENA.MIT.EDUraeburn", 0, "850bb51358548cd05e86768c313e3bfef7511937dcf72c3e"},
		{DES3SHA1, "potatoe", "WHITEHOUSE.GOVdanny", 0, "dfcd233dd0a43204ea6dc437fb15e061b02979c1f74f377a"},
		{DES3SHA1, "penny", "EXAMPLE.COMbuckaroo", 0, "6d2fcdf2d6fbbc3ddcadb5da5710a23489b0d3b69d5d9d4a"},
		{DES3SHA1, "\u00df", "ATHENA.MIT.EDUJuri\u0161i\u0107", 0, "16d5a40e1ce3bacb61b9dce00470324c831973a7b952feb0"},
		{DES3SHA1, "\xf0\x9d\x84\x9e", "EXAMPLE.COMpianist", 0, "85763726585dbc1cce6ec43e1f751f07f1c4cbb098f40b19"},
		{AES128SHA1, "password", "ATHENA.MIT.EDUraeburn", 1, "42263c6e89f4fc28b8df68ee09799f15"},
		{AES256SHA1, "password", "ATHENA.MIT.EDUraeburn", 1, "fe697b52bc0d3ce14432ba036a92e65bbb52280990a2fa27883998d72af30161"},
		{AES128SHA1, "password", "ATHENA.MIT.EDUraeburn", 1200, "4c01cd46d632d01e6dbe230a01ed642a"},
		{AES256SHA1, "password", "\x12\x34\x56\x78\x78\x56\x34\x12", 5, "97a4e786be20d81a382d5ebc96d5909cabcdadc87ca48f574504159f16c36e31"},
		{AES256SHA1, strings.Repeat("X", 65), "pass phrase exceeds block size", 1200, "d78c5c9cb872a8c9dad4697f0bb5b2d21496c82beb2caeda2112fceea057401b"},
		{AES128SHA1, "\xf0\x9d\x84\x9e", "EXAMPLE.COMpianist", 50, "f149c1f2e154a73452d43e7fe62a56e5"},
	} {
		k, err := StringToKey(c.e, c.password, []byte(c.salt), c.iterations)
		require.NoError(t, err)
		require.True(t, k.Equal(newKey(t, c.e, c.want)), "%v %q", c.e, c.password)
	}
	_, err := StringToKey(AES128SHA1, "x", nil, maxIterations+1)
	require.Error(t, err)
	_, err = StringToKey(23, "x", nil, 1)
	require.ErrorIs(t, err, ErrEType)
}

// What MIT's library makes of the same keys: PRF, checksum with KINK's key
// usage, encryption with KINK's key usage.
func TestMITVectors(t *testing.T) {
	b, err := os.ReadFile("testdata/mit/crypto.json")
	require.NoError(t, err)
	var vectors []struct {
		EType                                 EType
		Key, Input, PRF, Checksum, Ciphertext string
		ChecksumType                          int32
	}
	require.NoError(t, json.Unmarshal(b, &vectors))
	require.Len(t, vectors, 20)
	for _, v := range vectors {
		k := newKey(t, v.EType, v.Key)
		in := unhex(v.Input)
		require.Equal(t, unhex(v.PRF), k.AppendPRF(nil, PRFStandard, in), "%v", v.EType)
		if v.EType == AES128SHA1 || v.EType == AES256SHA1 {
			r := k.AppendPRF(nil, PRFRacoon2, in)
			require.Len(t, r, 20)
			require.NotEqual(t, unhex(v.PRF), r[:16])
		}
		require.Equal(t, k.p.cksum, v.ChecksumType)
		require.True(t, k.VerifyChecksum(in, nil, unhex(v.Checksum)), "%v", v.EType)
		half := len(in) / 2
		require.True(t, k.VerifyChecksum(in[:half], in[half:], unhex(v.Checksum)))
		text, err := k.Open(unhex(v.Ciphertext))
		require.NoError(t, err, "%v", v.EType)
		require.Equal(t, in, append([]byte{}, text[:len(in)]...))
		for _, b := range text[len(in):] {
			require.Zero(t, b)
		}
		require.Less(t, len(text)-len(in), 8)

		// Sealing in place, at any place.
		for _, off := range []int{0, 3} {
			buf := append(make([]byte, off, 512), bytes.Repeat([]byte{7}, k.ConfounderLen())...)
			sealed, err := k.Seal(append(buf, in...), off)
			require.NoError(t, err)
			require.Len(t, sealed, off+len(v.Ciphertext)/2)
			again, err := k.Open(sealed[off:])
			require.NoError(t, err)
			require.Equal(t, text, again)
			for i := range sealed[off:] {
				bad := bytes.Clone(sealed[off:])
				bad[i] ^= 1
				_, err = k.Open(bad)
				require.ErrorIs(t, err, ErrDecrypt)
			}
			for n := range sealed[off:] {
				_, err = k.Open(sealed[off : off+n])
				require.ErrorIs(t, err, ErrDecrypt)
			}
		}
	}
	_, err = newKey(t, AES128SHA1, strings.Repeat("00", 16)).Seal(make([]byte, 15), 0)
	require.Error(t, err)
}

func TestKeysAreNotPrinted(t *testing.T) {
	k := newKey(t, AES128SHA1, "6b65796b65796b65796b65796b65796b")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		require.Equal(t, "key of aes128-cts-hmac-sha1-96", fmt.Sprintf(verb, k))
		s := fmt.Sprintf(verb, &Ticket{Key: k, Client: Principal{"a", "R"}, Server: Principal{"b", "R"}})
		require.NotContains(t, s, "6b65796b65")
		require.NotContains(t, s, "keykey")
		s = fmt.Sprintf(verb, Accepted{Key: k})
		require.NotContains(t, s, "6b65796b65")
		require.NotContains(t, s, "107 101")
	}
	_, err := NewKey(AES128SHA1, make([]byte, 15))
	require.ErrorIs(t, err, ErrKeyLength)
	_, err = NewKey(23, make([]byte, 16))
	require.ErrorIs(t, err, ErrEType)
	k.encryption(usageTicket)
	k.Wipe()
	require.Equal(t, make([]byte, 16), []byte(k.raw))
}
