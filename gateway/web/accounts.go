package web

import (
	"context"
	"fmt"

	"headgate/broker/auth"
)

// accounts are who may see the page, at a time. They do not change: a changed
// configuration makes others.
type accounts struct {
	policy *auth.Policy
	open   bool                // nobody has to log in
	list   map[string]*account // by name; "" where they are open
}

// account is one user, until his password or his role is changed.
type account struct {
	visitor
	ctx context.Context // ends with it
	end context.CancelFunc
}

// newAccounts makes those of a configuration. Who is the same in before, nil if there
// is none, keeps his account.
func newAccounts(cfg *Config, before *accounts) (*accounts, error) {
	var previous *auth.Policy
	if before != nil {
		previous = before.policy
	}
	policy, err := auth.New(cfg.users(), previous)
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	a := &accounts{policy: policy, open: len(cfg.User) == 0, list: make(map[string]*account)}
	visitors := []visitor{{Role: Viewer}}
	if !a.open {
		visitors = nil
		for _, u := range cfg.User {
			visitors = append(visitors, visitor{u.Name, u.Role})
		}
	}
	for _, v := range visitors {
		if before != nil {
			if old := before.list[v.Name]; old != nil && old.visitor == v && (a.open || policy.Keeps(v.Name, previous)) {
				a.list[v.Name] = old
				continue
			}
		}
		one := &account{visitor: v}
		one.ctx, one.end = context.WithCancel(context.Background())
		a.list[v.Name] = one
	}
	return a, nil
}

// has says whether an account is one of them.
func (a *accounts) has(one *account) bool { return a.list[one.Name] == one }
