// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package pki makes the certificates of the local cluster: one authority, and a table of what it signs.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// lifetime outlasts any local cluster; there is nothing to renew.
const lifetime = 10 * 365 * 24 * time.Hour

// Request is one certificate to sign. With addresses or names it may serve, and any may be a client.
type Request struct {
	Name         string // of the files, NAME.crt and NAME.key
	CommonName   string
	Organization string
	IPs          []net.IP
	DNSNames     []string
}

// Authority signs the certificates of one directory.
type Authority struct {
	dir         string
	certificate *x509.Certificate
	key         crypto.Signer
}

// Certificate and Key are the paths of a certificate's two files.
func Certificate(dir, name string) string { return filepath.Join(dir, name+".crt") }

// Key is the path of a certificate's private key.
func Key(dir, name string) string { return filepath.Join(dir, name+".key") }

// Ensure makes whatever of the authority, the certificates and the service account key pair is absent.
// What exists is kept: the processes of a running cluster have read it.
func Ensure(dir string, requests []Request, now time.Time) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the certificate directory: %w", err)
	}
	authority, err := ensureAuthority(dir, now)
	if err != nil {
		return err
	}
	for _, r := range requests {
		if exists(Certificate(dir, r.Name)) && exists(Key(dir, r.Name)) {
			continue
		}
		if err := authority.sign(r, now); err != nil {
			return fmt.Errorf("making certificate %s: %w", r.Name, err)
		}
	}
	return ensureServiceAccountKey(dir)
}

func ensureAuthority(dir string, now time.Time) (Authority, error) {
	if exists(Certificate(dir, "ca")) && exists(Key(dir, "ca")) {
		return loadAuthority(dir)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Authority{}, fmt.Errorf("making the authority's key: %w", err)
	}
	template, err := newTemplate(pkix.Name{CommonName: "millrace-local-ca"}, now)
	if err != nil {
		return Authority{}, err
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage |= x509.KeyUsageCertSign
	a := Authority{dir: dir, certificate: template, key: key}
	if err := a.write("ca", template, key); err != nil {
		return Authority{}, fmt.Errorf("making the authority: %w", err)
	}
	return loadAuthority(dir)
}

func loadAuthority(dir string) (Authority, error) {
	certificate, err := readBlock(Certificate(dir, "ca"))
	if err != nil {
		return Authority{}, err
	}
	parsed, err := x509.ParseCertificate(certificate)
	if err != nil {
		return Authority{}, fmt.Errorf("reading the authority's certificate: %w", err)
	}
	bytes, err := readBlock(Key(dir, "ca"))
	if err != nil {
		return Authority{}, err
	}
	key, err := x509.ParseECPrivateKey(bytes)
	if err != nil {
		return Authority{}, fmt.Errorf("reading the authority's key: %w", err)
	}
	return Authority{dir: dir, certificate: parsed, key: key}, nil
}

func (a Authority) sign(r Request, now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	subject := pkix.Name{CommonName: r.CommonName}
	if r.Organization != "" {
		subject.Organization = []string{r.Organization}
	}
	template, err := newTemplate(subject, now)
	if err != nil {
		return err
	}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	template.IPAddresses, template.DNSNames = r.IPs, r.DNSNames
	return a.write(r.Name, template, key)
}

func newTemplate(subject pkix.Name, now time.Time) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("drawing a serial number: %w", err)
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      subject,
		NotBefore:    now.Add(-time.Hour), // clocks of containers and host may differ a little
		NotAfter:     now.Add(lifetime),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	}, nil
}

// write stores the key first: a certificate without its key would count as made.
func (a Authority) write(name string, template *x509.Certificate, key *ecdsa.PrivateKey) error {
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return err
	}
	keyBytes, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	if err := writeBlock(Key(a.dir, name), "EC PRIVATE KEY", keyBytes); err != nil {
		return err
	}
	return writeBlock(Certificate(a.dir, name), "CERTIFICATE", der)
}

// ensureServiceAccountKey makes the pair that signs and checks service account tokens.
func ensureServiceAccountKey(dir string) error {
	if exists(Key(dir, "sa")) && exists(filepath.Join(dir, "sa.pub")) {
		return nil
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return fmt.Errorf("making the service account key: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return fmt.Errorf("encoding the service account key: %w", err)
	}
	if err := writeBlock(filepath.Join(dir, "sa.pub"), "PUBLIC KEY", public); err != nil {
		return err
	}
	return writeBlock(Key(dir, "sa"), "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))
}

func writeBlock(path, kind string, bytes []byte) error {
	content := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes})
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

func readBlock(path string) ([]byte, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, fmt.Errorf("reading %s: no PEM block", path)
	}
	return block.Bytes, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
