// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/millrace-ml/millrace/test/database"
)

func TestSQLite(t *testing.T) {
	all(t, func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "metrics.db") })
}

func TestMariaDB(t *testing.T) {
	dsn := database.Serve(t, "MariaDB")
	all(t, func(*testing.T) string { return dsn })
}

func TestPostgreSQL(t *testing.T) {
	dsn := database.Serve(t, "PostgreSQL")
	all(t, func(*testing.T) string { return dsn })
}

func all(t *testing.T, dsn func(*testing.T) string) {
	t.Helper()
	t.Run("managers that start together make the tables once", func(t *testing.T) { together(t, dsn(t)) })
	for name, behaves := range behaviours {
		t.Run(name, func(t *testing.T) {
			s := open(t, dsn(t))
			behaves(t, s, s.Clock.(*clocktesting.FakePassiveClock))
		})
	}
}

// open is a store without content.
func open(t *testing.T, dsn string) *Store {
	t.Helper()
	s, err := Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	s.Clock, s.Cluster = clocktesting.NewFakePassiveClock(noon), "home"
	until(t, func() error { return s.Ping(t.Context()) })
	for _, table := range []string{"series", "samples", "streams", "trials"} {
		if _, err := s.db.ExecContext(t.Context(), "DELETE FROM millrace_"+table); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func together(t *testing.T, dsn string) {
	open(t, dsn) // waits for the server
	s := open(t, dsn)
	for _, table := range []string{"series", "samples", "streams", "trials", "schema"} {
		if _, err := s.db.ExecContext(t.Context(), "DROP TABLE millrace_"+table); err != nil {
			t.Fatal(err)
		}
	}
	var wait sync.WaitGroup
	for range 6 {
		wait.Go(func() {
			s, err := Open(t.Context(), dsn)
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = s.Close() }()
			if err := s.Ping(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	var versions int
	if err := s.db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM millrace_schema").Scan(&versions); err != nil || versions != len(migrations) {
		t.Errorf("%d versions, %v", versions, err)
	}
	if _, err := s.db.ExecContext(t.Context(), "INSERT INTO millrace_schema (version) VALUES (1000)"); err != nil {
		t.Fatal(err)
	}
	old, err := Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = old.Close() }()
	if err := old.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "version 1000") {
		t.Errorf("tables of a later manager: %v", err)
	}
	if _, err := s.db.ExecContext(t.Context(), "DELETE FROM millrace_schema WHERE version = 1000"); err != nil {
		t.Fatal(err)
	}
}

// until calls f until it succeeds: a server takes a while to come up.
func until(t *testing.T, f func() error) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		select {
		case <-t.Context().Done():
			t.Fatal(err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
