// Package auth knows who may connect and what each may do: user names and their
// passwords, rights over topics, the server's side of SCRAM-SHA-256, and how
// long an address that guesses has to wait. It knows no packets and opens no
// connection; it reads the files that the config names, and only when a Policy
// is made. The broker calls it.
package auth

import "errors"

// What a client is refused with, wrapped with its facts.
var (
	// ErrAnonymous: no user name came, or one that nothing could vouch for,
	// where the listener wants one.
	ErrAnonymous = errors.New("a user name and its password are needed here")

	// ErrBadCredentials: wrong user name or password. It does not say which, and
	// nothing that the client can see or measure should.
	ErrBadCredentials = errors.New("wrong user name or password")

	// ErrBusy: the password could not be looked at in time, because too many
	// others are.
	ErrBusy = errors.New("too many passwords are being checked")

	// ErrScramMessage: a SCRAM message breaks RFC 5802, or wants what this
	// server does not do.
	ErrScramMessage = errors.New("faulty SCRAM message")
)
