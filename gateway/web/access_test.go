package web

import (
	"net/http"
	"testing"
	"time"

	"headgate/broker/auth"
)

func TestALoginOfOnesOwnDoesNotForgetTheGuesses(t *testing.T) {
	_, srv := newTestServer(t, oneDevice(), user("anna", "secret1", Operator), user("otto", "secret2", Viewer))
	login := func(name, password string) int {
		status, _, _ := ask(t, "POST", srv.URL+"/api/v1/login", `{"user":"`+name+`","password":"`+password+`"}`)
		return status
	}
	for range 2 {
		login("anna", "x")
	}
	if status := login("otto", "secret2"); status != http.StatusOK {
		t.Fatalf("got %d", status)
	}
	login("anna", "x")
	if status := login("anna", "x"); status != http.StatusTooManyRequests {
		t.Errorf("the fourth guess gets %d", status)
	}
}

func TestGuessesThatComeAtOnceWaitForEachOther(t *testing.T) {
	anna := User{UserConfig: auth.UserConfig{Name: "anna", PasswordHash: auth.Hash("secret1")}, Role: Operator}
	_, srv := newTestServer(t, oneDevice(), anna)
	const guesses = 30
	got := make(chan int, guesses)
	for range guesses {
		go func() {
			status, _, _ := ask(t, "POST", srv.URL+"/api/v1/login", `{"user":"anna","password":"x"}`)
			got <- status
		}()
	}
	looked := 0
	for range guesses {
		if <-got == http.StatusUnauthorized {
			looked++
		}
	}
	if looked < 3 || looked > 6 { // more than 3 where this took seconds
		t.Errorf("%d of %d guesses were looked at", looked, guesses)
	}
}

func TestALoginEndsThatOfTheLongestAgoAlsoWhereAllWereUsedSince(t *testing.T) {
	s, _ := newTestServer(t, oneDevice(), user("anna", "secret1", Operator))
	now := time.Now()
	anna := s.access.now.Load().list["anna"]
	tokens := make([]string, maxLogins+1)
	for i := range tokens {
		tokens[i] = s.access.begin(anna, now.Add(-time.Duration(i)*time.Second))
	}
	if s.access.known(tokens[maxLogins-1], now) != nil {
		t.Error("that of the longest ago is still there")
	}
	if s.access.known(tokens[maxLogins], now) != anna || s.access.known(tokens[0], now) != anna {
		t.Error("another one has gone")
	}
}
