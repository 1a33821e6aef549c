// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// pause is the time between two questions to a peer, patience the time for one.
const (
	pause    = 200 * time.Millisecond
	patience = 5 * time.Second
)

// What a member answers: its task, and how far it is.
const (
	looking = "is looking for others"
	metAll  = "has met all"
)

// member is a process among its peers.
type member struct {
	contract
	timeout time.Duration
	out     io.Writer
	met     atomic.Bool // everybody
}

// answer tells everybody who asks who this is and how far it is.
func (m *member) answer(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		state := looking
		if m.met.Load() {
			state = metAll
		}
		_ = connection.SetDeadline(time.Now().Add(patience)) // without it the answer fails, or comes
		fmt.Fprintf(connection, "%s %s\n", m.me, state)
		_ = connection.Close() // who asked sees it, and asks again
	}
}

// meet waits until every peer was met, and then until everybody has met everybody.
func (m *member) meet(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, m.timeout)
	defer cancel()
	for _, peer := range m.peers() {
		if err := m.await(bounded, peer, m.isThere); err != nil {
			return ended(ctx, fmt.Errorf("%s has not met %s at %s: %w", m.me, peer, m.tasks[peer], err))
		}
		fmt.Fprintf(m.out, "%s has met %s at %s\n", m.me, peer, m.tasks[peer])
	}
	m.met.Store(true)
	fmt.Fprintf(m.out, "%s has met all of %d peers\n", m.me, len(m.peers()))
	for _, peer := range m.peers() {
		if err := m.await(bounded, peer, m.isDone()); err != nil {
			return ended(ctx, fmt.Errorf("%s at %s has not met all of its peers: %w", peer, m.tasks[peer], err))
		}
	}
	if m.me.serves() {
		fmt.Fprintf(m.out, "%s serves until it is killed\n", m.me)
		<-ctx.Done()
	}
	return nil
}

// ended is the error, but for a program that was told to end.
func ended(ctx context.Context, err error) error {
	select {
	case <-ctx.Done():
		return nil
	default:
		return err
	}
}

// await asks about a peer until the answer is no error, or the last one when the time is over.
func (m *member) await(ctx context.Context, peer task, ask func(context.Context, task) error) error {
	for {
		err := ask(ctx, peer)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

// isThere is an error unless a peer answers at its address, and is who it should be.
func (m *member) isThere(ctx context.Context, peer task) error {
	_, err := m.ask(ctx, peer)
	return err
}

// isDone returns a question that is an error unless a peer has met everybody. One that was met before and does not answer any
// more has, but not when it fails to just once: a name may not resolve for a moment.
func (m *member) isDone() func(context.Context, task) error {
	left := 3
	return func(ctx context.Context, peer task) error {
		state, err := m.ask(ctx, peer)
		switch {
		case state == metAll:
			return nil
		case err == nil:
			return fmt.Errorf("it %s", looking)
		case ctx.Err() == nil:
			left--
		}
		if left == 0 {
			return nil
		}
		return err
	}
}

// ask returns how far a peer is.
func (m *member) ask(ctx context.Context, peer task) (string, error) {
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	connection, err := (&net.Dialer{}).DialContext(bounded, "tcp", m.tasks[peer])
	if err != nil {
		return "", err
	}
	defer func() { _ = connection.Close() }() // everything is read by then
	if err := connection.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	said, err := io.ReadAll(io.LimitReader(connection, 256))
	if err != nil {
		return "", err
	}
	for _, state := range []string{looking, metAll} {
		if string(said) == peer.String()+" "+state+"\n" {
			return state, nil
		}
	}
	return "", fmt.Errorf("it says %q", said)
}
