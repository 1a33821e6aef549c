// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib" // registers the driver pgx
	"modernc.org/sqlite"
)

// dialect is what differs between databases.
type dialect struct {
	name, driver string
	// source makes what the driver takes of the part of a DSN behind its scheme.
	source func(rest string) (string, error)
	// connections is how many are open at most.
	connections int
	// numbered is true where the n-th parameter is $n and not ?.
	numbered bool
	// types stand for the words of the migrations.
	types *strings.Replacer
	// ignore ends an insert that passes over rows that are there; COLUMN stands for any column.
	ignore string
	// forUpdate ends a select of rows that the transaction will change.
	forUpdate string
	// isolation is that of transactions.
	isolation sql.IsolationLevel
	// lock and unlock make migrations one after another.
	lock, unlock string
	// retry says whether a transaction may succeed when it is tried again.
	retry func(error) bool
}

// dialects are by the scheme of the DSN.
var dialects = map[string]dialect{
	"sqlite": {
		name: "SQLite", driver: "sqlite", source: sqliteSource,
		// One writer at a time is all there is; more connections would wait for each other inside the driver.
		connections: 1,
		types:       strings.NewReplacer("BYTES", "TEXT"),
		ignore:      "ON CONFLICT DO NOTHING",
		retry:       func(err error) bool { return sqliteCode(err, 5, 6) },
	},
	"mysql": {
		name: "MySQL", driver: "mysql", source: mysqlSource, connections: 8,
		// Its texts are the same when they differ in spaces at their ends.
		types: strings.NewReplacer("BYTES", "VARBINARY(256)"),
		// INSERT IGNORE would pass over other mistakes too.
		ignore:    "ON DUPLICATE KEY UPDATE COLUMN = COLUMN",
		forUpdate: " FOR UPDATE",
		// By default a look for a row that is not there locks the gap, and writers of new rows deadlock over and over.
		isolation: sql.LevelReadCommitted,
		lock:      "SELECT GET_LOCK('millrace_schema', 60)", unlock: "SELECT RELEASE_LOCK('millrace_schema')",
		retry: func(err error) bool { return mysqlCode(err, 1062, 1205, 1213) },
	},
	"postgres": {
		name: "PostgreSQL", driver: "pgx", source: postgresSource, connections: 8, numbered: true,
		types:     strings.NewReplacer("BYTES", `VARCHAR(256) COLLATE "C"`),
		ignore:    "ON CONFLICT DO NOTHING",
		forUpdate: " FOR UPDATE",
		lock:      "SELECT pg_advisory_lock(7455192)", unlock: "SELECT pg_advisory_unlock(7455192)",
		retry: func(err error) bool { return postgresCode(err, "23505", "40001", "40P01") },
	},
}

// CheckDSN says what is wrong with a DSN. It is one of
//
//	sqlite:/var/lib/millrace/metrics.db
//	mysql:user:password@tcp(host:3306)/database
//	postgres://user:password@host:5432/database
//
// where what follows mysql: is as github.com/go-sql-driver/mysql reads it.
func CheckDSN(dsn string) error {
	_, _, err := resolve(dsn)
	return err
}

// Shared says whether several managers may use the database of a DSN.
func Shared(dsn string) bool { return !strings.HasPrefix(dsn, "sqlite:") }

// resolve finds the dialect of a DSN and what its driver takes. Errors do not repeat the DSN, which holds a password.
func resolve(dsn string) (dialect, string, error) {
	scheme, rest, _ := strings.Cut(dsn, ":")
	if scheme == "postgresql" {
		scheme = "postgres"
	}
	d, known := dialects[scheme]
	if !known {
		return dialect{}, "", errors.New("must begin with one of sqlite:, mysql: and postgres: as its scheme")
	}
	source, err := d.source(rest)
	return d, source, err
}

func sqliteSource(path string) (string, error) {
	if !filepath.IsAbs(path) || strings.ContainsAny(path, "?#%") {
		return "", errors.New("sqlite: must be followed by an absolute path, such as sqlite:/var/lib/millrace/metrics.db")
	}
	// What the write-ahead log holds survives a crash of the manager; a crash of the machine may take the last second, which is read
	// again because the mark went with it.
	query := url.Values{"_pragma": {"journal_mode(WAL)", "synchronous(NORMAL)", "busy_timeout(10000)", "temp_store(MEMORY)"}, "_txlock": {"immediate"}}
	return "file:" + path + "?" + query.Encode(), nil
}

func mysqlSource(rest string) (string, error) {
	c, err := mysql.ParseDSN(strings.TrimPrefix(rest, "//"))
	if err != nil || c.DBName == "" {
		return "", errors.New("mysql: must be followed by user:password@tcp(host:3306)/database")
	}
	// One round trip for each statement, not three.
	c.InterpolateParams = true
	return c.FormatDSN(), nil
}

func postgresSource(rest string) (string, error) {
	source := "postgres:" + rest
	if _, err := pgx.ParseConfig(source); err != nil || !strings.HasPrefix(rest, "//") {
		return "", errors.New("postgres: must be followed by //user:password@host:5432/database")
	}
	return source, nil
}

// passing ends an insert that passes over rows that are there, into a table with a column.
func (d dialect) passing(column string) string { return strings.ReplaceAll(d.ignore, "COLUMN", column) }

// bind writes the parameters of a query as the database has them.
func (d dialect) bind(query string) string {
	if !d.numbered {
		return query
	}
	var out strings.Builder
	for i, part := range strings.Split(query, "?") {
		if i > 0 {
			out.WriteString("$" + strconv.Itoa(i))
		}
		out.WriteString(part)
	}
	return out.String()
}

// many is a list of n groups of parameters for an insert of n rows.
func many(n, columns int) string {
	row := "(" + strings.TrimSuffix(strings.Repeat("?, ", columns), ", ") + ")"
	return strings.TrimSuffix(strings.Repeat(row+", ", n), ", ")
}

func sqliteCode(err error, codes ...int) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	// The low byte is the code, the others say more of it.
	return ok && slices.Contains(codes, e.Code()&0xff)
}

func mysqlCode(err error, codes ...uint16) bool {
	e, ok := errors.AsType[*mysql.MySQLError](err)
	return ok && slices.Contains(codes, e.Number)
}

func postgresCode(err error, codes ...string) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && slices.Contains(codes, e.Code)
}

// missing says whether a query found no row.
func missing(err error) bool { return errors.Is(err, sql.ErrNoRows) }

// doing wraps an error.
func doing(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// indexed writes a CREATE INDEX that may run twice where the database has such a thing.
func indexed(d dialect, statement string) string {
	word := " IF NOT EXISTS"
	if d.driver == "mysql" {
		word = ""
	}
	return strings.ReplaceAll(statement, " INDEXED", word)
}
