package ikev1
