package bridge

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	// A clock that is some hours wrong, as that of a board without a battery, does
	// not matter to a token of a day.
	sasLifetime = 24 * time.Hour
	// sasMargin is how long before its end the token is renewed. The hub cuts the
	// connection at the end itself.
	sasMargin = 30 * time.Minute

	maxKey = 4096 // bytes of a file with a key
)

// errRenew ends a connection of which the password is soon none any more, or was
// exchanged, or a certificate.
var errRenew = errors.New("the password is renewed")

// secret gives the password for a connection that is made now, nil for none, and
// how long it holds; 0: for ever.
func (b *Bridge) secret(now time.Time) (password []byte, holds time.Duration, err error) {
	cr := &b.cfg.Credentials
	if cr.SharedAccessKeyFile == "" {
		password, err = cr.password()
		return password, 0, err
	}
	text, err := readFile(cr.SharedAccessKeyFile, maxKey)
	if err != nil {
		return nil, 0, fmt.Errorf("credentials.shared_access_key_file: %w", err)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) == 0 {
		return nil, 0, fmt.Errorf("credentials.shared_access_key_file: %s is no key in base64: copy the device's primary key alone, not the connection string", cr.SharedAccessKeyFile)
	}
	resource := b.endpoints[b.turn].host + "/devices/" + b.cfg.ClientID
	return []byte(sasToken(resource, key, now.Add(sasLifetime))), sasLifetime - sasMargin, nil
}

// sasToken signs the right to use a resource until end. (Microsoft Learn, "Control
// access to IoT Hub with shared access signatures")
func sasToken(resource string, key []byte, end time.Time) string {
	sr, se := string(appendEscaped(nil, resource)), strconv.FormatInt(end.Unix(), 10)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(sr + "\n" + se))
	sig := base64.StdEncoding.EncodeToString(mac.Sum(nil))
	return "SharedAccessSignature sr=" + sr + "&sig=" + string(appendEscaped(nil, sig)) + "&se=" + se
}
