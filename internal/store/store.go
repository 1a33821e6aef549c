// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package store keeps the metrics of trials in SQL: SQLite in a file, MySQL or MariaDB, or PostgreSQL.
//
//	Append ──► samples, by trial, source, metric, time and number    (bounded; a second Append of the same sample changes nothing)
//	      └──► series, one row for each metric of a source            (count, minimum, maximum, latest: right beyond the bounds too)
//	Mark   ──► streams, how far a source was read                     (where to go on after a restart)
//	both   ──► trials, one row for each of which there is something   (what to forget when it is gone: Trials, Delete)
//
// A database that cannot be reached is an error of the call and of no other: it is tried again at the next.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// Trial is whose metrics they are. The UID tells it from an earlier one of the same name.
type Trial struct {
	Namespace, Name, UID string
}

// Series is what one source, such as the log of a container or a file, tells of a trial.
type Series struct {
	Trial Trial
	// Source tells sources of one trial apart, of at most 256 bytes: samples have their identity within it.
	Source string
}

// Limits are how much is kept.
type Limits struct {
	// PerMetric is how many values of one metric and source are kept; further ones count in the observation only.
	PerMetric int64
	// PerNamespace is the same of all trials of a namespace.
	PerNamespace int64
	// Metrics is how many metrics a source may have; further ones are refused with ErrTooMany.
	Metrics int
	// Total is how many values are kept at all: Prune drops those of the trials that were silent longest.
	Total int64
	// Age is how long after its last value a series is kept.
	Age time.Duration
}

// DefaultLimits fit a volume of 1 GiB.
func DefaultLimits() Limits {
	return Limits{PerMetric: 50_000, PerNamespace: 2_000_000, Metrics: 100, Total: 8_000_000, Age: 30 * 24 * time.Hour}
}

// The errors that are of the caller and stay when it tries again.
var (
	// ErrTooMany is that a source has too many metrics.
	ErrTooMany = errors.New("too many metrics")
	// ErrInvalid is that a sample has no name, one that is too long, or no time.
	ErrInvalid = errors.New("not a sample")
)

// Store is a database of metrics. Its methods may be called at the same time.
type Store struct {
	// Limits may be set before the first call.
	Limits Limits
	// Clock may be set before the first call.
	Clock clock.PassiveClock
	// Cluster tells the trials of this cluster from those of others in the same database; without it none is listed. It may be set
	// before the first call.
	Cluster string

	db      *sql.DB
	dialect dialect

	migrating sync.Mutex
	migrated  bool
	usage     usage
}

// Open makes a store of a DSN; CheckDSN says what it may be. It does not wait for the database, which is connected to, and given its
// tables, by the first call that needs it. The error is a DSN that cannot be read.
func Open(_ context.Context, dsn string) (*Store, error) {
	d, source, err := resolve(dsn)
	if err != nil {
		return nil, err
	}
	db, err := sql.Open(d.driver, source)
	if err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	db.SetMaxOpenConns(d.connections)
	db.SetMaxIdleConns(d.connections)
	db.SetConnMaxIdleTime(5 * time.Minute)
	return &Store{Limits: DefaultLimits(), Clock: clock.RealClock{}, db: db, dialect: d, usage: usage{}}, nil
}

// Close ends the connections.
func (s *Store) Close() error {
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("closing the store: %w", err)
	}
	return nil
}

// Ping says whether the database can be reached and has its tables.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	if err := s.db.PingContext(ctx); err != nil {
		return fmt.Errorf("reaching the store: %w", err)
	}
	return nil
}

// Where is the database as it may be logged: its kind, without credentials.
func (s *Store) Where() string { return s.dialect.name }

// tries is how often a transaction is tried that the database gave up in favour of another.
const tries = 5

// transact runs f in a transaction, again when the database asks for that. f may run more than once.
func (s *Store) transact(ctx context.Context, doing string, f func(*sql.Tx) error) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	var err error
	for range tries {
		if err = s.once(ctx, f); err == nil || !s.dialect.retry(err) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

func (s *Store) once(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{Isolation: s.dialect.isolation})
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, ignoreDone(tx.Rollback()))
	}
	return tx.Commit()
}

// ignoreDone drops the error of rolling back what the database has rolled back already.
func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}
