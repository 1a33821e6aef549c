// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net/url"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/controllers/notebook"
	"github.com/millrace-ml/millrace/internal/activity"
	"github.com/millrace-ml/millrace/internal/route"
)

// Notebook says how notebooks are reached, and when they are stopped by themselves.
type Notebook struct {
	// Route is how notebooks are reached from outside.
	Route Route `json:"route"`
	// IdleAfter is how long nothing may have been used before a notebook is stopped, where neither it nor its Profile says; 0s is never.
	IdleAfter metav1.Duration `json:"idleAfter"`
	// MaxLife is how long it may run at all where neither says; 0s is without end.
	MaxLife metav1.Duration `json:"maxLife"`
	// Probe is how servers are asked when they were last used.
	Probe Probe `json:"probe"`
}

// Route is how notebooks are reached from outside of the cluster.
type Route struct {
	// Kind is Auto, Istio, Gateway, Ingress or None. Auto is the first that the cluster serves and that is configured here.
	Kind string `json:"kind"`
	// Host is the name under which the cluster is reached; any when empty.
	Host string `json:"host"`
	// Scheme of the addresses that are shown: https or http.
	Scheme string `json:"scheme"`
	// IstioGateway and Gateway are NAMESPACE/NAME of a Gateway of Istio and of the Gateway API.
	IstioGateway string `json:"istioGateway"`
	Gateway      string `json:"gateway"`
	// IngressClass is the class of Ingresses.
	IngressClass string `json:"ingressClass"`
	// ClusterDomain is the domain of the cluster's DNS.
	ClusterDomain string `json:"clusterDomain"`
}

// Probe is how servers are asked.
type Probe struct {
	// Every is the time between two rounds, Timeout how long one server may take.
	Every   metav1.Duration `json:"every"`
	Timeout metav1.Duration `json:"timeout"`
	// Parallel is how many are asked at once.
	Parallel int `json:"parallel"`
	// Proxy is the address of an HTTP proxy through which servers and Prometheus are asked, such as by a manager outside of the cluster; none
	// when empty.
	Proxy string `json:"proxy"`
	// Prometheus is the address of a Prometheus that knows of use beside what servers tell; none when empty. Queries are asked there instead of
	// Millrace's own.
	Prometheus string   `json:"prometheus"`
	Queries    []string `json:"queries"`
}

func defaultNotebook() Notebook {
	return Notebook{
		Route: Route{
			Kind: string(v1alpha1.RouteAuto), Scheme: "https", IstioGateway: "kubeflow/kubeflow-gateway", ClusterDomain: "cluster.local",
		},
		IdleAfter: seconds(24 * 60 * 60),
		Probe:     Probe{Every: seconds(60), Timeout: seconds(5), Parallel: 64, Queries: []string{}},
	}
}

// Notebooks is the configuration of notebooks as the controllers take it.
func (c *Config) Notebooks() notebook.Settings {
	n, r := c.Notebook, c.Notebook.Route
	return notebook.Settings{
		Idle: n.IdleAfter.Duration, MaxLife: n.MaxLife.Duration,
		Route: route.Settings{
			Kind: v1alpha1.RouteKind(r.Kind), Host: r.Host, Scheme: r.Scheme, IstioGateway: r.IstioGateway, Gateway: r.Gateway,
			IngressClass: r.IngressClass, ClusterDomain: r.ClusterDomain, UserHeader: c.Profiles.Mesh.UserHeader,
		},
	}
}

// Probing is how servers are asked, as the controllers take it.
func (n Notebook) Probing() notebook.Probing {
	p := n.Probe
	if len(p.Queries) == 0 {
		p.Queries = activity.Queries
	}
	return notebook.Probing{
		Every: p.Every.Duration, Timeout: p.Timeout.Duration, Parallel: p.Parallel, Proxy: p.Proxy, Prometheus: p.Prometheus, Queries: p.Queries,
	}
}

func (n Notebook) validate(path *field.Path) field.ErrorList {
	r, p := n.Route, n.Probe
	all := oneOf(path.Child("route", "kind"), r.Kind, "Auto", "Istio", "Gateway", "Ingress", "None")
	all = append(all, oneOf(path.Child("route", "scheme"), r.Scheme, "https", "http")...)
	for _, g := range []struct{ name, value string }{{"istioGateway", r.IstioGateway}, {"gateway", r.Gateway}} {
		if namespace, name, found := strings.Cut(g.value, "/"); g.value != "" && (!found || namespace == "" || name == "") {
			all = append(all, field.Invalid(path.Child("route", g.name), g.value, "must be NAMESPACE/NAME of a Gateway"))
		}
	}
	for _, d := range []struct {
		name  string
		value metav1.Duration
	}{{"idleAfter", n.IdleAfter}, {"maxLife", n.MaxLife}} {
		if d.value.Duration < 0 {
			all = append(all, field.Invalid(path.Child(d.name), d.value.String(), "must not be below zero; 0s is never"))
		}
	}
	all = append(all, positive(path.Child("probe", "every"), p.Every)...)
	all = append(all, positive(path.Child("probe", "timeout"), p.Timeout)...)
	if p.Parallel < 1 || p.Parallel > maxConcurrency {
		all = append(all, field.Invalid(path.Child("probe", "parallel"), p.Parallel, "must be from 1 to 1000"))
	}
	for _, a := range []struct{ name, value, like string }{
		{"proxy", p.Proxy, "http://proxy.example.com:3128"}, {"prometheus", p.Prometheus, "http://prometheus.monitoring:9090"},
	} {
		if u, err := url.Parse(a.value); a.value != "" && (err != nil || u.Host == "") {
			all = append(all, field.Invalid(path.Child("probe", a.name), a.value, "must be an address such as "+a.like))
		}
	}
	return all
}
