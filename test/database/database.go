// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package database starts database servers for tests, as they are installed on this machine.
package database

import (
	"context"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// servers are the database servers that tests run, by how they are made and started in a directory that an unprivileged user owns.
var servers = map[string]struct {
	program, user string
	prepare       func(dir string) []string
	run           func(dir, port string) []string
	dsn           func(port string) string
}{
	"MariaDB": {
		program: "mariadbd", user: "mysql",
		prepare: func(dir string) []string {
			return []string{"mariadb-install-db", "--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", "--datadir=" + dir}
		},
		run: func(dir, port string) []string {
			return []string{
				"mariadbd", "--no-defaults", "--datadir=" + dir, "--bind-address=127.0.0.1", "--port=" + port,
				"--socket=" + filepath.Join(dir, "s"), "--pid-file=" + filepath.Join(dir, "pid"), "--innodb-flush-log-at-trx-commit=2",
			}
		},
		dsn: func(port string) string { return "mysql:root@tcp(127.0.0.1:" + port + ")/mysql" },
	},
	"PostgreSQL": {
		program: "initdb", user: "postgres",
		prepare: func(dir string) []string { return []string{"initdb", "-D", dir, "-A", "trust", "-U", "postgres", "-N"} },
		run: func(dir, port string) []string {
			return []string{"postgres", "-D", dir, "-p", port, "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"}
		},
		dsn: func(port string) string { return "postgres://postgres@127.0.0.1:" + port + "/postgres?sslmode=disable" },
	},
}

// Serve starts a database server, MariaDB or PostgreSQL, for one test and returns its DSN; it may take a while to come up. Debian keeps PostgreSQL's programs out of the PATH.
func Serve(t testing.TB, name string) string {
	t.Helper()
	server := servers[name]
	path := os.Getenv("PATH") + ":/usr/sbin"
	versions, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range versions {
		path = dir + ":" + path
	}
	t.Setenv("PATH", path)
	if _, err := exec.LookPath(server.program); err != nil {
		t.Skipf("%s is not installed: apt-get install mariadb-server postgresql", name)
	}
	dir, port := filepath.Join(t.TempDir(), "data"), free(t)
	attributes := own(t, dir, server.user)
	prepare := exec.CommandContext(t.Context(), server.prepare(dir)[0], server.prepare(dir)[1:]...)
	prepare.SysProcAttr, prepare.Dir = attributes, dir
	if out, err := prepare.CombinedOutput(); err != nil {
		t.Fatalf("preparing %s: %v\n%s", name, err, out)
	}
	start(t, dir, attributes, server.run(dir, port))
	return server.dsn(port)
}

// own makes a directory and gives it to a user whom programs that refuse to be root can run as.
func own(t testing.TB, dir, name string) *syscall.SysProcAttr {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() != 0 {
		return &syscall.SysProcAttr{}
	}
	// The directories that a test gets are for its own user only.
	for _, above := range []string{filepath.Dir(dir), filepath.Dir(filepath.Dir(dir))} {
		if err := os.Chmod(above, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	u, err := user.Lookup(name)
	if err != nil {
		t.Skipf("there is no user %s to run the server: %v", name, err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}

// start runs a server until the test ends.
func start(t testing.TB, dir string, attributes *syscall.SysProcAttr, command []string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(ctx, command[0], command[1:]...)
	c.SysProcAttr, c.Dir, c.Stdout, c.Stderr, c.WaitDelay = attributes, dir, log, log, 10*time.Second
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGINT) } // PostgreSQL's word for at once; MariaDB takes SIGTERM
	if command[0] == "mariadbd" {
		c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = c.Wait()
		_ = log.Close()
		if t.Failed() {
			said, _ := os.ReadFile(log.Name())
			t.Logf("%s said:\n%s", command[0], said)
		}
	})
}

func free(t testing.TB) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}
