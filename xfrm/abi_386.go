package xfrm

// See abi.go.
const (
	saPadding     = 3
	policyPadding = 0
	hardPadding   = 3
)
