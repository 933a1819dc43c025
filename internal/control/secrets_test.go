package control

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
)

// TestC25_PasswordsAreNotPrinted: an order that holds a password can be logged.
func TestC25_PasswordsAreNotPrinted(t *testing.T) {
	q := EstablishRequest{User: "alice", Password: Password("hunter2-hunter2")}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		require.NotContains(t, fmt.Sprintf(verb, q), "hunter2", verb)
		require.NotContains(t, fmt.Sprintf(verb, q.Password), "68756e", verb)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "password", q.Password, "order", q)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "password", q.Password)
	require.NotContains(t, log.String(), "hunter2")
	require.NotContains(t, log.String(), "aHVudGVy")
}

func TestUsers(t *testing.T) {
	var u users
	ctx := context.Background()
	ask := ike.PromptRequest{Peer: "gw", Kind: ike.UserGeneric, Fields: ike.FieldUser | ike.FieldPassword}
	_, err := u.answer(ctx, ask, nil)
	require.ErrorIs(t, err, ike.ErrPrompt)
	_, err = u.answer(ctx, ask, ike.StaticUser("config", ike.Secret("x")))
	require.NoError(t, err)

	pw := []byte("pw")
	require.NoError(t, u.begin("gw", "alice", pw))
	clear(pw) // the order is over for whoever made it
	kept := u.byPeer["gw"].password
	a, err := u.answer(ctx, ask, nil)
	require.NoError(t, err)
	require.Equal(t, "alice", a.User)
	require.True(t, a.Password.Equal([]byte("pw")))
	other := ask
	other.Peer = "other"
	_, err = u.answer(ctx, other, nil)
	require.ErrorIs(t, err, ike.ErrPrompt, "one peer's password is not another's")

	// A second order for the same user joins, one for another is refused.
	require.NoError(t, u.begin("gw", "alice", []byte("pw")))
	require.Error(t, u.begin("gw", "alice", []byte("other")))
	require.Error(t, u.begin("gw", "bob", []byte("pw")))
	u.forget("gw") // an older session of the peer has ended
	require.True(t, u.end("gw", true))
	require.True(t, u.end("gw", true))
	require.True(t, kept.Equal([]byte("pw")), "kept while the session lives")
	u.forget("gw")
	require.Equal(t, []byte{0, 0}, []byte(kept), "wiped with it")
	require.Empty(t, u.byPeer)

	require.NoError(t, u.begin("gw", "alice", []byte("pw")))
	require.False(t, u.end("gw", false), "it was not asked for")
	require.Empty(t, u.byPeer)
}
