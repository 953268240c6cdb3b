package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"headgate/broker/auth"
)

// passwdCmd makes what a password can be verified with, but not found out.
type passwdCmd struct {
	Name string `arg:"" optional:"" help:"The user: with it, a whole line for password_file."`
}

// Run asks for the password, or reads it from a pipe.
func (c *passwdCmd) Run(k *kong.Kong) error {
	password, err := readPassword(os.Stdin, os.Stderr)
	if err != nil {
		return err
	}
	hash := auth.Hash(password)
	if c.Name != "" {
		if strings.Contains(c.Name, ":") {
			return fmt.Errorf("user %q: no name in a password file has a colon in it", c.Name)
		}
		hash = c.Name + ":" + hash
	}
	fmt.Fprintln(k.Stdout, hash)
	return nil
}

func readPassword(in *os.File, ask io.Writer) (string, error) {
	if !term.IsTerminal(int(in.Fd())) {
		line, err := bufio.NewReader(in).ReadString('\n')
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			return "", errors.Join(errors.New("no password came on standard input"), ignoreEOF(err))
		}
		return line, nil
	}
	var typed [2]string
	for i, what := range [2]string{"Password: ", "Again: "} {
		fmt.Fprint(ask, what)
		b, err := term.ReadPassword(int(in.Fd()))
		fmt.Fprintln(ask)
		if err != nil {
			return "", fmt.Errorf("read the password: %w", err)
		}
		typed[i] = string(b)
	}
	switch {
	case typed[0] == "":
		return "", errors.New("an empty password is none")
	case typed[0] != typed[1]:
		return "", errors.New("the two are not the same")
	}
	return typed[0], nil
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
