package ike_test

import (
	"testing"

	"github.com/racoon3/racoon/ike"
	"github.com/stretchr/testify/require"
)

func TestPrincipalIdentity(t *testing.T) {
	id, err := ike.ParseIdentity("krb5:kink/host.example.org@EXAMPLE.ORG")
	require.NoError(t, err)
	require.Equal(t, ike.Identity{Type: ike.IDPrincipal, Data: "kink/host.example.org@EXAMPLE.ORG"}, id)
	require.Equal(t, "krb5:kink/host.example.org@EXAMPLE.ORG", id.String())
	require.Equal(t, "KERBEROS_PRINCIPAL", id.Type.String())
	other, err := ike.ParseIdentity("krb5:kink/HOST.example.org@EXAMPLE.ORG")
	require.NoError(t, err)
	require.False(t, id.Equal(other), "principals are case sensitive (RFC 4120 6.1)")
}
