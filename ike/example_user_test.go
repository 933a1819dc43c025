package ike_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/racoon3/racoon/ike"
)

// A gateway's users: in memory, of one group, and guarded against guessing.
func ExampleNewMemoryUsers() {
	users, err := ike.NewMemoryUsers(map[string]ike.User{
		"alice": {Password: ike.Secret("wonderland"), Groups: []string{"vpn"}, Addresses: []netip.Addr{netip.MustParseAddr("10.9.0.7")}},
		"bob":   {Hash: ike.Secret("$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW")},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	gate := ike.ThrottleLogins(ike.RequireGroup(users, "vpn"), ike.ThrottleConfig{})

	// What a core asks in a job, after it has sent a prompt for both fields:
	for _, a := range []ike.UserAnswers{
		{User: "alice", Password: ike.Secret("wonderland")},
		{User: "alice", Password: ike.Secret("looking glass")},
		{User: "bob", Password: ike.Secret("U*U")},
	} {
		answer, err := gate.AuthenticateUser(context.Background(), ike.UserRequest{Peer: "clients", Round: 1, UserAnswers: a})
		if err != nil {
			fmt.Println(err)
			continue
		}
		switch a := answer.(type) {
		case ike.UserAccepted:
			fmt.Println("accepted:", a.User, a.Addresses)
		case ike.UserRejected:
			fmt.Println(a)
		}
	}
	// Output:
	// accepted: alice [10.9.0.7]
	// user "alice" rejected: wrong name or password (wrong password)
	// user "bob" rejected: not allowed (of the groups [], not of ["vpn"])
}

// radius shows the shape of a back end that asks a server and may be told to
// ask the user once more.
type radius struct {
	exchange func(ctx context.Context, r ike.UserRequest, state []byte) (reply radiusReply, err error)
}

type radiusReply struct {
	Code     int // 2 Access-Accept, 3 Access-Reject, 11 Access-Challenge
	State    []byte
	Message  string
	FramedIP netip.Addr
	Class    []byte
}

// RADIUS carries CHAP's response as it comes (RFC 2865 2.2).
func (radius) Supports(k ike.UserAuthKind) bool { return k == ike.UserGeneric || k == ike.UserCHAP }

func (b radius) AuthenticateUser(ctx context.Context, r ike.UserRequest) (ike.UserAnswer, error) {
	if r.Round == 0 {
		return ike.UserPrompt{Kind: r.Kind, Fields: ike.FieldUser | ike.FieldPassword}, nil
	}
	state, _ := r.State.([]byte)
	reply, err := b.exchange(ctx, r, state)
	if err != nil {
		return nil, err // no server answers: nobody's fault
	}
	switch reply.Code {
	case 2:
		return ike.UserAccepted{User: r.User, Addresses: []netip.Addr{reply.FramedIP}, Class: [][]byte{reply.Class}}, nil
	case 11:
		return ike.UserPrompt{Fields: ike.FieldUser | ike.FieldPassword, Message: reply.Message, State: reply.State}, nil
	}
	return ike.UserRejected{User: r.User, Reason: reply.Message}, nil
}

// A back end of one's own.
func ExampleUserAuthenticator() {
	server := func(_ context.Context, r ike.UserRequest, state []byte) (radiusReply, error) {
		if state == nil {
			return radiusReply{Code: 11, State: []byte("challenge 1"), Message: "Enter the code we have sent to you"}, nil
		}
		return radiusReply{Code: 2, FramedIP: netip.MustParseAddr("255.255.255.254"), Class: []byte("gold")}, nil
	}
	var users ike.UserAuthenticator = radius{server}

	r := ike.UserRequest{Round: 1, UserAnswers: ike.UserAnswers{User: "alice", Password: ike.Secret("wonderland")}}
	answer, _ := users.AuthenticateUser(context.Background(), r)
	prompt := answer.(ike.UserPrompt)
	fmt.Println(prompt.Message)

	r.Round, r.State, r.Password = 2, prompt.State, ike.Secret("493027")
	answer, _ = users.AuthenticateUser(context.Background(), r)
	accepted := answer.(ike.UserAccepted)
	fmt.Println(accepted.User, ike.FixedAddresses(accepted.Addresses), string(accepted.Class[0]))
	// Output:
	// Enter the code we have sent to you
	// alice [] gold
}

func tempFile(name, text string) (path string, remove func()) {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	path = filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		panic(err)
	}
	return path, func() { os.RemoveAll(dir) }
}

// A file that htpasswd -B has made, with groups and addresses added.
func ExampleLoadUserFile() {
	path, remove := tempFile("users", `
# name:hash:groups:addresses
alice:$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW:staff,vpn:10.9.0.7,2001:db8::7
`)
	defer remove()
	users, err := ike.LoadUserFile(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	answer, err := users.AuthenticateUser(context.Background(), ike.UserRequest{Round: 1, UserAnswers: ike.UserAnswers{User: "alice", Password: ike.Secret("U*U")}})
	fmt.Printf("%+v %v\n", answer.(ike.UserAccepted).Groups, err)
	fmt.Println(users.Supports(ike.UserCHAP))
	// Output:
	// [staff vpn] <nil>
	// false
}

// The keys of racoon are a source of credentials.
func ExampleLoadPSKFile() {
	path, remove := tempFile("psk.txt", "# racoon\n192.0.2.1  our secret\nsales@example.org 0xcafe\n")
	defer remove()
	keys, err := ike.LoadPSKFile(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	var source ike.CredentialSource = keys.Credential // for a peer's configuration
	gateway, _ := ike.ParseIdentity("192.0.2.1")
	c, err := source(context.Background(), ike.Identity{}, gateway)
	fmt.Println(c, err)
	// Output:
	// pre-shared key [10 secret octets] <nil>
}

// A client without a person in front of it.
func ExampleStaticUser() {
	answer := ike.StaticUser("alice", ike.Secret("wonderland"))
	a, err := answer(context.Background(), ike.PromptRequest{Round: 1, Fields: ike.FieldUser | ike.FieldPassword})
	fmt.Println(a, err)
	_, err = answer(context.Background(), ike.PromptRequest{Round: 2, Fields: ike.FieldPassword, Answered: a.Fields(), Message: "Login incorrect"})
	fmt.Println(err)
	// Output:
	// user "alice" with password <nil>
	// the gateway asks the user for something that is not configured: the password again, so the first was refused; it says "Login incorrect"
}
