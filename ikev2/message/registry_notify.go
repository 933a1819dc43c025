package message

import "strconv"

// NotifyType is a Notify Message Type: IANA "IKEv2 Notify Message Error
// Types" (below 16384) and "IKEv2 Notify Message Status Types".
type NotifyType uint16

// statusTypes is where status types begin.
const statusTypes = 16384

// IsError reports whether t is an error type, known or not (RFC 7296 3.10.1).
func (t NotifyType) IsError() bool { return t < statusTypes }

// String returns the IANA name, such as "NO_PROPOSAL_CHOSEN".
func (t NotifyType) String() string {
	if t == NotifyMSStatus {
		return "MS_NOTIFY_STATUS"
	}
	if t.IsError() {
		return nameOf(notifyErrorNames[:], int(t), "NotifyType")
	}
	if s := nameOf(notifyStatusNames[:], int(t)-statusTypes, ""); s != "" {
		return s
	}
	return "NotifyType(" + strconv.Itoa(int(t)) + ")"
}

// Error types.
const (
	NotifyUnsupportedCriticalPayload NotifyType = 1
	NotifyInvalidIKESPI              NotifyType = 4
	NotifyInvalidMajorVersion        NotifyType = 5
	NotifyInvalidSyntax              NotifyType = 7
	NotifyInvalidMessageID           NotifyType = 9
	NotifyInvalidSPI                 NotifyType = 11
	NotifyNoProposalChosen           NotifyType = 14
	NotifyInvalidKEPayload           NotifyType = 17
	NotifyAuthenticationFailed       NotifyType = 24
	NotifySinglePairRequired         NotifyType = 34
	NotifyNoAdditionalSAs            NotifyType = 35
	NotifyInternalAddressFailure     NotifyType = 36
	NotifyFailedCPRequired           NotifyType = 37
	NotifyTSUnacceptable             NotifyType = 38
	NotifyInvalidSelectors           NotifyType = 39
	NotifyUnacceptableAddresses      NotifyType = 40 // RFC 4555
	NotifyUnexpectedNATDetected      NotifyType = 41 // RFC 4555
	NotifyUseAssignedHoA             NotifyType = 42 // RFC 5026
	NotifyTemporaryFailure           NotifyType = 43
	NotifyChildSANotFound            NotifyType = 44
	NotifyInvalidGroupID             NotifyType = 45 // G-IKEv2
	NotifyAuthorizationFailed        NotifyType = 46 // G-IKEv2
	NotifyStateNotFound              NotifyType = 47 // RFC 9370
	NotifyTSMaxQueue                 NotifyType = 48 // RFC 9611
	NotifyRegistrationFailed         NotifyType = 49 // G-IKEv2

	NotifyMSStatus NotifyType = 12345 // private use, sent by Windows; the data is a Windows error code
)

// Status types.
const (
	NotifyInitialContact                  NotifyType = 16384
	NotifySetWindowSize                   NotifyType = 16385
	NotifyAdditionalTSPossible            NotifyType = 16386
	NotifyIPCompSupported                 NotifyType = 16387
	NotifyNATDetectionSourceIP            NotifyType = 16388
	NotifyNATDetectionDestinationIP       NotifyType = 16389
	NotifyCookie                          NotifyType = 16390
	NotifyUseTransportMode                NotifyType = 16391
	NotifyHTTPCertLookupSupported         NotifyType = 16392
	NotifyRekeySA                         NotifyType = 16393
	NotifyESPTFCPaddingNotSupported       NotifyType = 16394
	NotifyNonFirstFragmentsAlso           NotifyType = 16395
	NotifyMOBIKESupported                 NotifyType = 16396 // RFC 4555
	NotifyAdditionalIP4Address            NotifyType = 16397 // RFC 4555
	NotifyAdditionalIP6Address            NotifyType = 16398 // RFC 4555
	NotifyNoAdditionalAddresses           NotifyType = 16399 // RFC 4555
	NotifyUpdateSAAddresses               NotifyType = 16400 // RFC 4555
	NotifyCookie2                         NotifyType = 16401 // RFC 4555
	NotifyNoNATsAllowed                   NotifyType = 16402 // RFC 4555
	NotifyAuthLifetime                    NotifyType = 16403 // RFC 4478
	NotifyMultipleAuthSupported           NotifyType = 16404 // RFC 4739
	NotifyAnotherAuthFollows              NotifyType = 16405 // RFC 4739
	NotifyRedirectSupported               NotifyType = 16406 // RFC 5685
	NotifyRedirect                        NotifyType = 16407 // RFC 5685
	NotifyRedirectedFrom                  NotifyType = 16408 // RFC 5685
	NotifyTicketLTOpaque                  NotifyType = 16409 // RFC 5723
	NotifyTicketRequest                   NotifyType = 16410 // RFC 5723
	NotifyTicketAck                       NotifyType = 16411 // RFC 5723
	NotifyTicketNack                      NotifyType = 16412 // RFC 5723
	NotifyTicketOpaque                    NotifyType = 16413 // RFC 5723
	NotifyLinkID                          NotifyType = 16414 // RFC 5739
	NotifyUseWESPMode                     NotifyType = 16415 // RFC 5840
	NotifyROHCSupported                   NotifyType = 16416 // RFC 5857
	NotifyEAPOnlyAuthentication           NotifyType = 16417 // RFC 5998
	NotifyChildlessIKEv2Supported         NotifyType = 16418 // RFC 6023
	NotifyQuickCrashDetection             NotifyType = 16419 // RFC 6290
	NotifyIKEv2MessageIDSyncSupported     NotifyType = 16420 // RFC 6311
	NotifyIPsecReplayCounterSyncSupported NotifyType = 16421 // RFC 6311
	NotifyIKEv2MessageIDSync              NotifyType = 16422 // RFC 6311
	NotifyIPsecReplayCounterSync          NotifyType = 16423 // RFC 6311
	NotifySecurePasswordMethods           NotifyType = 16424 // RFC 6467
	NotifyPSKPersist                      NotifyType = 16425 // RFC 6631
	NotifyPSKConfirm                      NotifyType = 16426 // RFC 6631
	NotifyERXSupported                    NotifyType = 16427 // RFC 6867
	NotifyIFOMCapability                  NotifyType = 16428 // 3GPP TS 24.303
	NotifyGroupSender                     NotifyType = 16429 // G-IKEv2
	NotifyIKEv2FragmentationSupported     NotifyType = 16430 // RFC 7383
	NotifySignatureHashAlgorithms         NotifyType = 16431 // RFC 7427
	NotifyCloneIKESASupported             NotifyType = 16432 // RFC 7791
	NotifyCloneIKESA                      NotifyType = 16433 // RFC 7791
	NotifyPuzzle                          NotifyType = 16434 // RFC 8019
	NotifyUsePPK                          NotifyType = 16435 // RFC 8784
	NotifyPPKIdentity                     NotifyType = 16436 // RFC 8784
	NotifyNoPPKAuth                       NotifyType = 16437 // RFC 8784
	NotifyIntermediateExchangeSupported   NotifyType = 16438 // RFC 9242
	NotifyIP4Allowed                      NotifyType = 16439 // RFC 8983
	NotifyIP6Allowed                      NotifyType = 16440 // RFC 8983
	NotifyAdditionalKeyExchange           NotifyType = 16441 // RFC 9370
	NotifyUseAggFrag                      NotifyType = 16442 // RFC 9347
	NotifySupportedAuthMethods            NotifyType = 16443 // RFC 9593
	NotifySAResourceInfo                  NotifyType = 16444 // RFC 9611
	NotifyUsePPKInt                       NotifyType = 16445 // draft-ietf-ipsecme-ikev2-qr-alt
	NotifyPPKIdentityKey                  NotifyType = 16446 // draft-ietf-ipsecme-ikev2-qr-alt
)

var notifyErrorNames = [...]string{
	NotifyUnsupportedCriticalPayload: "UNSUPPORTED_CRITICAL_PAYLOAD",
	NotifyInvalidIKESPI:              "INVALID_IKE_SPI",
	NotifyInvalidMajorVersion:        "INVALID_MAJOR_VERSION",
	NotifyInvalidSyntax:              "INVALID_SYNTAX",
	NotifyInvalidMessageID:           "INVALID_MESSAGE_ID",
	NotifyInvalidSPI:                 "INVALID_SPI",
	NotifyNoProposalChosen:           "NO_PROPOSAL_CHOSEN",
	NotifyInvalidKEPayload:           "INVALID_KE_PAYLOAD",
	NotifyAuthenticationFailed:       "AUTHENTICATION_FAILED",
	NotifySinglePairRequired:         "SINGLE_PAIR_REQUIRED",
	NotifyNoAdditionalSAs:            "NO_ADDITIONAL_SAS",
	NotifyInternalAddressFailure:     "INTERNAL_ADDRESS_FAILURE",
	NotifyFailedCPRequired:           "FAILED_CP_REQUIRED",
	NotifyTSUnacceptable:             "TS_UNACCEPTABLE",
	NotifyInvalidSelectors:           "INVALID_SELECTORS",
	NotifyUnacceptableAddresses:      "UNACCEPTABLE_ADDRESSES",
	NotifyUnexpectedNATDetected:      "UNEXPECTED_NAT_DETECTED",
	NotifyUseAssignedHoA:             "USE_ASSIGNED_HoA",
	NotifyTemporaryFailure:           "TEMPORARY_FAILURE",
	NotifyChildSANotFound:            "CHILD_SA_NOT_FOUND",
	NotifyInvalidGroupID:             "INVALID_GROUP_ID",
	NotifyAuthorizationFailed:        "AUTHORIZATION_FAILED",
	NotifyStateNotFound:              "STATE_NOT_FOUND",
	NotifyTSMaxQueue:                 "TS_MAX_QUEUE",
	NotifyRegistrationFailed:         "REGISTRATION_FAILED",
}

var notifyStatusNames = [...]string{
	NotifyInitialContact - statusTypes:                  "INITIAL_CONTACT",
	NotifySetWindowSize - statusTypes:                   "SET_WINDOW_SIZE",
	NotifyAdditionalTSPossible - statusTypes:            "ADDITIONAL_TS_POSSIBLE",
	NotifyIPCompSupported - statusTypes:                 "IPCOMP_SUPPORTED",
	NotifyNATDetectionSourceIP - statusTypes:            "NAT_DETECTION_SOURCE_IP",
	NotifyNATDetectionDestinationIP - statusTypes:       "NAT_DETECTION_DESTINATION_IP",
	NotifyCookie - statusTypes:                          "COOKIE",
	NotifyUseTransportMode - statusTypes:                "USE_TRANSPORT_MODE",
	NotifyHTTPCertLookupSupported - statusTypes:         "HTTP_CERT_LOOKUP_SUPPORTED",
	NotifyRekeySA - statusTypes:                         "REKEY_SA",
	NotifyESPTFCPaddingNotSupported - statusTypes:       "ESP_TFC_PADDING_NOT_SUPPORTED",
	NotifyNonFirstFragmentsAlso - statusTypes:           "NON_FIRST_FRAGMENTS_ALSO",
	NotifyMOBIKESupported - statusTypes:                 "MOBIKE_SUPPORTED",
	NotifyAdditionalIP4Address - statusTypes:            "ADDITIONAL_IP4_ADDRESS",
	NotifyAdditionalIP6Address - statusTypes:            "ADDITIONAL_IP6_ADDRESS",
	NotifyNoAdditionalAddresses - statusTypes:           "NO_ADDITIONAL_ADDRESSES",
	NotifyUpdateSAAddresses - statusTypes:               "UPDATE_SA_ADDRESSES",
	NotifyCookie2 - statusTypes:                         "COOKIE2",
	NotifyNoNATsAllowed - statusTypes:                   "NO_NATS_ALLOWED",
	NotifyAuthLifetime - statusTypes:                    "AUTH_LIFETIME",
	NotifyMultipleAuthSupported - statusTypes:           "MULTIPLE_AUTH_SUPPORTED",
	NotifyAnotherAuthFollows - statusTypes:              "ANOTHER_AUTH_FOLLOWS",
	NotifyRedirectSupported - statusTypes:               "REDIRECT_SUPPORTED",
	NotifyRedirect - statusTypes:                        "REDIRECT",
	NotifyRedirectedFrom - statusTypes:                  "REDIRECTED_FROM",
	NotifyTicketLTOpaque - statusTypes:                  "TICKET_LT_OPAQUE",
	NotifyTicketRequest - statusTypes:                   "TICKET_REQUEST",
	NotifyTicketAck - statusTypes:                       "TICKET_ACK",
	NotifyTicketNack - statusTypes:                      "TICKET_NACK",
	NotifyTicketOpaque - statusTypes:                    "TICKET_OPAQUE",
	NotifyLinkID - statusTypes:                          "LINK_ID",
	NotifyUseWESPMode - statusTypes:                     "USE_WESP_MODE",
	NotifyROHCSupported - statusTypes:                   "ROHC_SUPPORTED",
	NotifyEAPOnlyAuthentication - statusTypes:           "EAP_ONLY_AUTHENTICATION",
	NotifyChildlessIKEv2Supported - statusTypes:         "CHILDLESS_IKEV2_SUPPORTED",
	NotifyQuickCrashDetection - statusTypes:             "QUICK_CRASH_DETECTION",
	NotifyIKEv2MessageIDSyncSupported - statusTypes:     "IKEV2_MESSAGE_ID_SYNC_SUPPORTED",
	NotifyIPsecReplayCounterSyncSupported - statusTypes: "IPSEC_REPLAY_COUNTER_SYNC_SUPPORTED",
	NotifyIKEv2MessageIDSync - statusTypes:              "IKEV2_MESSAGE_ID_SYNC",
	NotifyIPsecReplayCounterSync - statusTypes:          "IPSEC_REPLAY_COUNTER_SYNC",
	NotifySecurePasswordMethods - statusTypes:           "SECURE_PASSWORD_METHODS",
	NotifyPSKPersist - statusTypes:                      "PSK_PERSIST",
	NotifyPSKConfirm - statusTypes:                      "PSK_CONFIRM",
	NotifyERXSupported - statusTypes:                    "ERX_SUPPORTED",
	NotifyIFOMCapability - statusTypes:                  "IFOM_CAPABILITY",
	NotifyGroupSender - statusTypes:                     "GROUP_SENDER",
	NotifyIKEv2FragmentationSupported - statusTypes:     "IKEV2_FRAGMENTATION_SUPPORTED",
	NotifySignatureHashAlgorithms - statusTypes:         "SIGNATURE_HASH_ALGORITHMS",
	NotifyCloneIKESASupported - statusTypes:             "CLONE_IKE_SA_SUPPORTED",
	NotifyCloneIKESA - statusTypes:                      "CLONE_IKE_SA",
	NotifyPuzzle - statusTypes:                          "PUZZLE",
	NotifyUsePPK - statusTypes:                          "USE_PPK",
	NotifyPPKIdentity - statusTypes:                     "PPK_IDENTITY",
	NotifyNoPPKAuth - statusTypes:                       "NO_PPK_AUTH",
	NotifyIntermediateExchangeSupported - statusTypes:   "INTERMEDIATE_EXCHANGE_SUPPORTED",
	NotifyIP4Allowed - statusTypes:                      "IP4_ALLOWED",
	NotifyIP6Allowed - statusTypes:                      "IP6_ALLOWED",
	NotifyAdditionalKeyExchange - statusTypes:           "ADDITIONAL_KEY_EXCHANGE",
	NotifyUseAggFrag - statusTypes:                      "USE_AGGFRAG",
	NotifySupportedAuthMethods - statusTypes:            "SUPPORTED_AUTH_METHODS",
	NotifySAResourceInfo - statusTypes:                  "SA_RESOURCE_INFO",
	NotifyUsePPKInt - statusTypes:                       "USE_PPK_INT",
	NotifyPPKIdentityKey - statusTypes:                  "PPK_IDENTITY_KEY",
}
