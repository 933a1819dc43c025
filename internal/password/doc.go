// Package password checks passwords against hashes in the written forms of
// htpasswd, crypt(3) and PHC strings.
//
//	$2a$ $2b$ $2y$            bcrypt (htpasswd -B)
//	$5$ $6$                   SHA-crypt with SHA-256 or SHA-512 (openssl passwd -6, shadow files)
//	$argon2id$ $argon2i$      Argon2 (RFC 9106), a PHC string
//	$scrypt$                  scrypt (RFC 7914), a PHC string
//
// Older and weaker forms are known by name, so that the error says what to do.
// The cost that a hash may ask for is bounded: whoever wrote it may have
// mistyped.
package password
