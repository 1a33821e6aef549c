// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// doctor examines a cluster.
type doctor struct {
	*Program
	format format
}

func newDoctor(p *Program) *cobra.Command {
	cmd := &doctor{Program: p, format: asTable}
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Examine a cluster: what Millrace finds there, what is missing, and what each costs",
		Long: `Examine a cluster: whether Millrace is installed as it should be, which schedulers of gangs, queues
and devices it can work with, and what limits them. Each line is

  OK        there and well
  WARN      there, but not as it should be
  MISSING   not there; what goes on without it is said
  UNKNOWN   could not be seen, and is not guessed

with what that means, and what to do about it. Nothing is changed.`,
		Example: `  mill doctor
  mill doctor -o json | jq '.items[] | select(.status != "OK")'`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return cmd.run(c.Context()) },
	}
	c.SetUsageTemplate(c.UsageTemplate() + `
Exit codes of doctor:
  0    Millrace can run jobs, whatever optional parts are missing
  1    the cluster cannot be examined
  2    something Millrace cannot do without is missing or broken
`)
	addFormat(c, &cmd.format)
	return c
}

// verdict is what a finding comes to.
type verdict string

const (
	fine    verdict = "OK"
	warn    verdict = "WARN"
	missing verdict = "MISSING"
	unknown verdict = "UNKNOWN"
)

// finding is one line of an examination.
type finding struct {
	Check  string  `json:"check"`
	Status verdict `json:"status"`
	// Required is true for what Millrace cannot do without.
	Required bool   `json:"required"`
	Found    string `json:"found"`
	Means    string `json:"means,omitempty"`
	Fix      string `json:"fix,omitempty"`
}

// bad is true when Millrace cannot run jobs because of it.
func (f finding) bad() bool { return f.Required && (f.Status == warn || f.Status == missing) }

func (d *doctor) run(ctx context.Context) error {
	cluster, err := d.connect()
	if err != nil {
		return err
	}
	found, err := examine(ctx, patient{cluster.Raw})
	if err != nil {
		return err
	}
	if d.format == asTable {
		d.write(found)
	} else if err := writeDocument(d.Out, d.format, map[string]any{"items": found}); err != nil {
		return err
	}
	if slices.ContainsFunc(found, finding.bad) {
		return exit{code: ExitFailed}
	}
	return nil
}

// verdictColours is the colour of each verdict.
var verdictColours = map[string]int{string(fine): green, string(warn): yellow, string(missing): blue, string(unknown): faint}

func (d *doctor) write(found []finding) {
	paint := painter(d.colour(d.Out))
	for _, f := range found {
		fmt.Fprintf(d.Out, "%s %-14s %s\n", paint.paint(verdictColours[string(f.Status)], fmt.Sprintf("%-8s", f.Status)), f.Check, f.Found)
		for _, line := range []struct{ what, text string }{{"means", f.Means}, {"fix", f.Fix}} {
			if line.text != "" {
				fmt.Fprintf(d.Out, "%9s%-14s %s\n", "", line.what+":", line.text)
			}
		}
	}
}

// patient is a cluster that answers questions.
type patient struct {
	raw func(ctx context.Context, path string) ([]byte, error)
}

// get reads an object, and says whether it is there.
func (p patient) get(ctx context.Context, path string, into any) (bool, error) {
	text, err := p.raw(ctx, path)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return false, fmt.Errorf("reading %s: %w", path, err)
	}
	return true, nil
}

// serves says whether an API serves a resource.
func (p patient) serves(ctx context.Context, groupVersion, resource string) (bool, error) {
	var list struct {
		Resources []struct {
			Name string `json:"name"`
		} `json:"resources"`
	}
	there, err := p.get(ctx, "/apis/"+groupVersion, &list)
	if err != nil || !there {
		return false, err
	}
	for _, r := range list.Resources {
		if r.Name == resource {
			return true, nil
		}
	}
	return false, nil
}

// check is one question about a cluster. An error means that it could not be asked.
type check struct {
	name     string
	required bool
	ask      func(context.Context, patient) ([]finding, error)
}

// checks is the whole examination, in the order it is told.
var checks = []check{
	{"kubernetes", true, kubernetesVersion},
	{"definitions", true, definitions},
	{"manager", true, managers},
	{"permissions", true, permissions},
	{"gangs", false, gangs},
	{"devices", false, countedDevices},
	{"claims", false, claimedDevices},
	{"cordoned", false, cordonedNodes},
	{"scheduler", false, schedulerLimits},
	{"policies", false, served("admissionregistration.k8s.io/v1", "mutatingadmissionpolicies", [3]string{
		"what is added to pods by policy needs no webhook", "what is added to pods by policy needs a webhook",
		"Kubernetes 1.36 or newer",
	})},
	{"usage", false, served("metrics.k8s.io/v1beta1", "pods", [3]string{
		"mill top shows what pods use", "mill top shows what pods ask for, but not what they use", "install metrics-server",
	})},
}

// examine makes every check. It fails only when the cluster does not answer at all.
func examine(ctx context.Context, p patient) ([]finding, error) {
	var all []finding
	for i, c := range checks {
		found, err := c.ask(ctx, p)
		if err != nil && (i == 0 || errors.Is(err, ctx.Err())) {
			return nil, err
		}
		if err != nil {
			found = []finding{{Status: unknown, Found: explain(err)}}
		}
		for _, f := range found {
			if f.Check == "" {
				f.Check = c.name
			}
			f.Required = c.required
			all = append(all, f)
		}
	}
	return all, nil
}
