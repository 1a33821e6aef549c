// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"crypto/x509"
	"net"
	"os"
	"testing"
	"time"
)

func TestEnsure(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	requests := []Request{{
		Name: "server", CommonName: "server", Organization: "group", IPs: []net.IP{net.IPv4(10, 0, 0, 1)}, DNSNames: []string{"here"},
	}}
	if err := Ensure(dir, requests, now); err != nil {
		t.Fatal(err)
	}
	authority, server := parse(t, Certificate(dir, "ca")), parse(t, Certificate(dir, "server"))
	roots := x509.NewCertPool()
	roots.AddCert(authority)
	for _, name := range []string{"here", "10.0.0.1"} {
		_, err := server.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: now})
		if err != nil {
			t.Errorf("as %s: %v", name, err)
		}
	}
	if got := server.Subject.Organization; len(got) != 1 || got[0] != "group" {
		t.Errorf("organization %v, want the one asked for: it is the user's group", got)
	}

	before := read(t, Certificate(dir, "server"))
	requests = append(requests, Request{Name: "client", CommonName: "client"})
	if err := Ensure(dir, requests, now); err != nil {
		t.Fatal(err)
	}
	if read(t, Certificate(dir, "server")) != before {
		t.Error("a certificate that running processes use was made anew")
	}
	if _, err := parse(t, Certificate(dir, "client")).Verify(x509.VerifyOptions{
		Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}); err != nil {
		t.Errorf("a certificate added later is not of the same authority: %v", err)
	}
}

func parse(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	block, err := readBlock(path)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(block)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
