// Package text judges free text: whether it could be an id, a place on the web, or a card number that nobody should
// have sent. It says yes or no; what to answer is the caller's business.
package text

import (
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxID is the longest id: with it every stream's name stays within the log's limit.
const maxID = 40

// ValidID reports whether s is 1 to 40 ASCII letters, digits and underscores. Ids stand in the names of streams,
// in paths and in log lines; these characters mean nothing special in any of them.
func ValidID(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if digit := '0' <= c && c <= '9'; !letter && !digit && c != '_' {
			return false
		}
	}
	return 0 < len(s) && len(s) <= maxID
}

// HasControl reports whether s holds a control character; a tab and a line break are some.
func HasControl(s string) bool { return strings.ContainsFunc(s, unicode.IsControl) }

// ValidURL reports whether s is an absolute http or https address that can be sent to as it stands: with a host,
// without user and password, fragment, spaces and control characters. The zone of an IPv6 address, which means
// something on one machine only, is refused as well.
func ValidURL(s string) bool {
	if !utf8.ValidString(s) || HasControl(s) || strings.ContainsFunc(s, unicode.IsSpace) {
		return false
	}
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || strings.Contains(u.Hostname(), "%") || u.User != nil || strings.Contains(s, "#") {
		return false
	}
	if strings.HasSuffix(u.Host, ":") {
		return false
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return false
		}
	}
	return u.Scheme == "http" || u.Scheme == "https"
}

// SecureURL reports whether s is a ValidURL whose answers nobody on the way can read or change.
func SecureURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "https" && ValidURL(s)
}

// LoopbackURL reports whether s is a ValidURL of the machine on which it is asked for.
func LoopbackURL(s string) bool {
	u, err := url.Parse(s)
	if err != nil || !ValidURL(s) {
		return false
	}
	host := u.Hostname()
	return host == "localhost" || host == "127.0.0.1" || host == "::1"
}
