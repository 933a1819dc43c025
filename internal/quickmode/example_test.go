package quickmode_test

import (
	"fmt"

	"github.com/racoon3/racoon/internal/quickmode"
	"github.com/racoon3/racoon/spd"
)

// policy is what one side offers or accepts.
func policy(proposals string, life quickmode.Lifetime) quickmode.Policy {
	list, err := spd.ParseProposals(spd.ProtoESP, proposals)
	if err != nil {
		panic(err)
	}
	return quickmode.Policy{Proposals: list, Life: life}
}

// An initiator offers two algorithms, the responder chooses, and both have the
// same. How the SA payloads travel is the protocol's business.
func ExamplePolicy() {
	initiator := policy("aes256-sha256,aes128gcm16", quickmode.Lifetime{Seconds: 3600})
	responder := policy("aes128gcm16", quickmode.Lifetime{Seconds: 1800})

	offer, err := initiator.Offer(initiator.Group(), quickmode.SPIs{spd.ProtoESP: 0x1001})
	if err != nil {
		fmt.Println(err)
		return
	}
	chosen, err := responder.Choose(offer)
	if err != nil {
		fmt.Println(err)
		return
	}
	answer := chosen.Answer(offer, quickmode.SPIs{spd.ProtoESP: 0x2002})
	agreed, err := initiator.CheckAnswer(answer, initiator.Group())
	fmt.Println(agreed.Proposal, agreed.Life, err)
	fmt.Printf("%#x\n", uint32(agreed.PeerSPIs()[spd.ProtoESP]))

	// What does not fit is explained.
	strict := policy("aes256gcm16", quickmode.Lifetime{Seconds: 1800})
	_, err = strict.Choose(offer)
	fmt.Println(err)
	// Output:
	// aes128gcm16 3600 s <nil>
	// 0x2002
	// spd: no proposal chosen: nearest was transform 2 of proposal 1: ENCR: offered ENCR_AES_GCM_16-128; wanted ENCR_AES_GCM_16-256 [offered: ESP_AES-256/HMAC-SHA2-256/tunnel/3600 s, ESP_AES-GCM_16-128/tunnel/3600 s] [wanted: ESP:aes256gcm16, tunnel, 1800 s]
}
