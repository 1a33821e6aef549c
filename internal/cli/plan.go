// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/config/crd"
	"github.com/millrace-ml/millrace/internal/offline"
)

// plan shows what the manager would create, without a cluster.
type plan struct {
	*Program
	source
	format format
	// assumed are the optional parts of the cluster to plan for.
	assumed []string
}

func newPlan(p *Program) *cobra.Command {
	cmd := &plan{Program: p, format: asYAML}
	c := &cobra.Command{
		Use:   "plan -f FILE|DIRECTORY|-",
		Short: "Show the objects the manager would create, without a cluster",
		Long: `Show the objects the manager would create for the given manifests.

No cluster is needed: manifests are read strictly, given their defaults and validated as the API
server would, in the same words, and then planned by the manager's own code. The plan is that of the
first start: Services and the first attempt of every pod. --assume names systems that the cluster
would have beside Kubernetes; what follows only when they have done their part is planned too.

Every problem is told with its file, document and line, and does not keep the rest from being
planned; the exit code is then 1. Objects of other groups are passed over.

A job that names an Accelerator is planned with the Accelerators of the same manifests. Of nodes nothing is
known: whether one has so many devices only a cluster can tell. What Millrace makes can also depend on
what the cluster has beside it, such as a scheduler for gangs: name it with --assume.`,
		Example: `  mill plan -f job.yaml
  mill plan -f job.yaml -f accelerators.yaml
  mill plan -f manifests/ -o table
  mill plan -f job.yaml --assume kueue,volcano
  kustomize build . | mill plan -f - -n team-a`,
		Args: onlyFiles,
		RunE: func(c *cobra.Command, _ []string) error { return cmd.run(c.Context()) },
	}
	cmd.addFiles(c)
	addFormat(c, &cmd.format)
	c.Flags().StringSliceVar(&cmd.assumed, "assume", nil, "plan for a cluster that has these: "+strings.Join(slices.Sorted(maps.Keys(assumable())), ", "))
	return c
}

func (p *plan) run(ctx context.Context) error {
	if len(p.files) == 0 {
		return usagef("nothing to plan: name manifests with -f")
	}
	schemas, err := offline.Load(crd.FS)
	if err != nil {
		return err
	}
	documents, err := p.read(p.In)
	if err != nil {
		return err
	}
	cluster, err := assume(p.assumed)
	if err != nil {
		return err
	}
	planner := planning{planners: planners(cluster), cluster: cluster, schemas: schemas, namespace: p.target.Namespace, now: p.Now()}
	if planner.namespace == "" {
		planner.namespace = "default"
	}
	planner.relate(ctx, documents)
	for _, d := range documents {
		planner.document(ctx, d)
	}
	return p.tell(&planner)
}

// tell writes notes and problems to Err and the plan to Out.
func (p *plan) tell(planner *planning) error {
	for _, note := range planner.notes {
		fmt.Fprintf(p.Err, "note: %s\n", note)
	}
	for _, problem := range planner.problems {
		fmt.Fprintln(p.Err, problem)
	}
	if err := p.write(planner.children); err != nil {
		return err
	}
	if len(planner.problems) > 0 {
		return exit{code: ExitError}
	}
	if planner.planned == 0 {
		return fmt.Errorf("no object of a Millrace kind in %s", strings.Join(p.files, ", "))
	}
	return nil
}

func (p *plan) write(children []child) error {
	if p.format != asTable {
		objects := make([]runtime.Object, len(children))
		for i, c := range children {
			objects[i] = c.object
		}
		return writeObjects(p.Out, p.format, objects)
	}
	t := table{header: []string{"KIND", "NAMESPACE", "NAME", "VERB", "FOR"}}
	for _, c := range children {
		t.add(c.object.GetKind(), c.object.GetNamespace(), c.object.GetName(), c.verb, c.owner)
	}
	if len(t.rows) > 0 {
		t.write(p.Out, "")
	}
	return nil
}

// planning plans documents one after the other and gathers what there is to say.
type planning struct {
	planners  map[schema.GroupVersionKind]planner
	schemas   offline.Schemas
	namespace string
	now       time.Time
	cluster   *paper

	children []child
	notes    []string
	problems []offline.Problem
	planned  int
}

func (p *planning) document(ctx context.Context, d offline.Document) {
	objects, problems := d.Objects()
	p.problems = append(p.problems, problems...)
	for _, o := range objects {
		p.object(ctx, o)
	}
}

func (p *planning) object(ctx context.Context, o offline.Object) {
	kind := o.GroupVersionKind()
	if why, unknown := p.schemas.Unknown(kind); unknown {
		p.problems = append(p.problems, o.Problem("kind", why))
		return
	}
	of, known := p.planners[kind]
	if !known {
		text := "passed over: not a kind of Millrace"
		if of, ours := kindsOf(kind.Kind); ours {
			text += fmt.Sprintf("; %s is of apiVersion %s", of[0].Kind, of[0].GroupVersion())
		}
		p.notes = append(p.notes, o.Problem("apiVersion", text).Error())
		return
	}
	p.planned++
	stored, refusal := p.schemas.Admit(ctx, o.Unstructured, p.namespace)
	if !refusal.Empty() {
		p.problems = append(p.problems, refusal.Problems(o)...)
		return
	}
	p.notes = append(p.notes, append(suspension(o, stored), unused(o, stored)...)...)
	answer, err := of(ctx, stored, p.now)
	if err != nil {
		p.problems = append(p.problems, o.Problem("", err.Error()))
		return
	}
	if answer.rejected != nil {
		p.problems = append(p.problems, o.Blame(fmt.Sprintf("%s: Accepted=False (%s)", strings.TrimSuffix(answer.rejected.Message, "."), answer.rejected.Reason)))
		return
	}
	if answer.foreign {
		p.notes = append(p.notes, o.Blame("spec.managedBy names another controller: Millrace makes nothing for it").Error())
	}
	if c := answer.later; c != nil && (strings.HasPrefix(c.Reason, "Accelerator") || c.Reason == v1alpha1.ReasonPodDefaultConflict) {
		// The manifests can mend it.
		p.problems = append(p.problems, o.Blame(fmt.Sprintf("%s: Scheduled=%s (%s)", strings.TrimSuffix(c.Message, "."), c.Status, c.Reason)))
	} else if c != nil {
		p.notes = append(p.notes, o.Blame(fmt.Sprintf("the pods come later (%s): %s", c.Reason, c.Message)).Error())
	}
	p.children = append(p.children, answer.children...)
	p.further(ctx, o, answer.children)
}

// further plans what children make in their turn, such as the jobs of trials. The defaults they get are those of the API server.
func (p *planning) further(ctx context.Context, o offline.Object, children []child) {
	for _, c := range children {
		of, known := p.planners[c.object.GroupVersionKind()]
		if !known || c.verb != "create" {
			continue
		}
		blame := func(why string) {
			p.problems = append(p.problems, o.Problem("", fmt.Sprintf("%s %s: %s", c.object.GetKind(), c.object.GetName(), why)))
		}
		orphan := c.object.DeepCopy() // its owner has no UID yet
		orphan.SetOwnerReferences(nil)
		stored, refusal := p.schemas.Admit(ctx, orphan, p.namespace)
		for _, problem := range refusal.Problems(offline.Object{Unstructured: orphan}) {
			blame(problem.Message)
		}
		if !refusal.Empty() {
			return // its like have the same problem
		}
		answer, err := of(ctx, stored, p.now)
		switch {
		case err != nil:
			blame(err.Error())
		case answer.rejected != nil:
			blame(answer.rejected.Message)
		default:
			p.children = append(p.children, answer.children...)
			p.further(ctx, o, answer.children)
		}
	}
}

// indented puts every line of a text behind an indent.
func indented(text, indent string) string {
	var out bytes.Buffer
	for line := range strings.Lines(printable(text)) {
		out.WriteString(strings.TrimRight(indent+line, "\n") + "\n")
	}
	return out.String()
}
