package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
)

// proofOf computes a client's last message and the server's answer to it from
// the password, by RFC 5802's formulas and not by the code under test.
func proofOf(password string, salt []byte, iterations int, authMessage func(final string) string, withoutProof string) (final, serverFinal string) {
	mac := func(key []byte, text string) []byte {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(text))
		return m.Sum(nil)
	}
	u := mac([]byte(password), string(binary.BigEndian.AppendUint32(append([]byte(nil), salt...), 1)))
	salted := append([]byte(nil), u...)
	for range iterations - 1 {
		u = mac([]byte(password), string(u))
		for i := range salted {
			salted[i] ^= u[i]
		}
	}
	clientKey := mac(salted, "Client Key")
	storedKey := sha256.Sum256(clientKey)
	message := authMessage(withoutProof)
	signature := mac(storedKey[:], message)
	for i := range clientKey {
		clientKey[i] ^= signature[i]
	}
	b64 := base64.StdEncoding
	return withoutProof + ",p=" + b64.EncodeToString(clientKey), "v=" + b64.EncodeToString(mac(mac(salted, "Server Key"), message))
}
