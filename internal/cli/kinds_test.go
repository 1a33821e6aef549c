// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	conditions "github.com/millrace-ml/millrace/internal/condition"
	"github.com/millrace-ml/millrace/internal/engine"
)

// objectOf is an object of any kind whose condition is as told.
func objectOf(t *testing.T, k kind, condition string, status metav1.ConditionStatus) client.Object {
	t.Helper()
	scheme, err := newScheme()
	if err != nil {
		t.Fatal(err)
	}
	made, err := scheme.New(k.GroupVersionKind)
	if err != nil {
		t.Fatal(err)
	}
	o, ok := made.(engine.Owner)
	if !ok {
		t.Fatalf("%s is no owner", k.Kind)
	}
	o.SetName("one")
	if k.namespaced {
		o.SetNamespace("team")
	}
	if x, is := o.(*v1alpha1.Experiment); is {
		x.Spec.Objectives = []v1alpha1.Objective{{Metric: "loss"}}
	}
	conditions.Set(o, condition, status, "Because", "So it is.")
	return o
}

func TestEveryKindIsListedShownAndAwaited(t *testing.T) {
	if len(kinds()) != 8 {
		t.Errorf("%d kinds", len(kinds()))
	}
	for _, k := range kinds() {
		root := map[bool]string{true: v1alpha1.ConditionSucceeded, false: v1alpha1.ConditionReady}[k.finishes()]
		good := []client.Object{objectOf(t, k, root, metav1.ConditionTrue)}
		stalled := []client.Object{objectOf(t, k, v1alpha1.ConditionStalled, metav1.ConditionTrue)}
		one, slash := k.names.Singular+" one", k.names.Singular+"/one"
		for _, word := range append(k.words(), k.names.Plural+".millrace.dev", k.Kind) {
			expect(t, good, "get "+word, ExitOK, "\none ")
		}
		expect(t, good, "get -o wide "+k.names.Plural, ExitOK, "So it is.")
		for _, named := range []string{one, slash} {
			expect(t, good, "get "+named, ExitOK, "So it is.")
			expect(t, good, "get -o json "+named, ExitOK, `"kind": "`+k.Kind+`"`)
			expect(t, good, "wait "+named, ExitOK, "So it is.")
		}
		expect(t, stalled, "wait "+one, ExitFailed, "one cannot go on: So it is.")
		expect(t, nil, "wait "+one, ExitNotFound, "there is no "+k.names.Singular)
	}
}

// expect runs mill with arguments that a space is between.
func expect(t *testing.T, objects []client.Object, args string, code int, want string) {
	t.Helper()
	if got := call(t, objects, nil, strings.Split(args, " ")...); got.code != code || !strings.Contains(got.out+got.err, want) {
		t.Errorf("mill %s: want exit code %d and %q, got %+v", args, code, want, got)
	}
}

// TestEveryCommandIsDocumented finds each command, word for word, in the first cell of a row of docs/mill.md.
func TestEveryCommandIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/mill.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]string
	for line := range strings.Lines(strings.ReplaceAll(string(text), `\|`, " ")) {
		if cells := strings.Split(line, "|"); len(cells) > 1 {
			rows = append(rows, strings.FieldsFunc(cells[1], func(r rune) bool { return r != '-' && !unicode.IsLetter(r) }))
		}
	}
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			if sub.Name() == "help" || sub.Parent().Name() == "completion" {
				continue
			}
			above := strings.Fields(sub.Parent().CommandPath())
			named := slices.ContainsFunc(rows, func(words []string) bool {
				return len(words) > len(above) && slices.Equal(words[:len(above)], above) && slices.Contains(words[len(above):], sub.Name())
			})
			if !named {
				t.Errorf("docs/mill.md has no row for %s", sub.CommandPath())
			}
			if sub.Short == "" || strings.HasSuffix(sub.Short, ".") {
				t.Errorf("%s: %q is no heading", sub.CommandPath(), sub.Short)
			}
			visit(sub)
		}
	}
	visit(program(nil, nil, nil).root())
}

func TestGetReferences(t *testing.T) {
	lab := objectOf(t, kindOf("Notebook"), v1alpha1.ConditionReady, metav1.ConditionFalse)
	pool := objectOf(t, kindOf("Accelerator"), v1alpha1.ConditionReady, metav1.ConditionTrue)
	objects := []client.Object{job(), lab, pool}
	for name, c := range map[string]struct {
		args     string
		wantCode int
		want     string
	}{
		"all kinds in namespaces":      {"get all", ExitOK, "notebook/one"},
		"two kinds":                    {"get acc,tj", ExitOK, "accelerator/one"},
		"all namespaces":               {"get nb -A", ExitOK, "NAMESPACE   NAME"},
		"a list for programs":          {"get all -o yaml", ExitOK, "kind: TrainingJob"},
		"a phase that follows":         {"get nb/one", ExitOK, "NotReady"},
		"nothing":                      {"get experiments", ExitOK, `No experiments in namespace "team".`},
		"nothing in the cluster":       {"get profiles", ExitOK, "No profiles.\n"},
		"a kind with a typo":           {"get experimnt one", ExitError, `unknown kind "experimnt"; known: all, accelerator`},
		"a name of several kinds":      {"get nb,acc one", ExitError, "goes with one kind"},
		"several kinds to follow":      {"get all -w", ExitError, "one kind at a time"},
		"a kind without a name":        {"wait notebook", ExitError, `"mill get notebook" lists them`},
		"a goal of other kinds":        {"wait nb one --for succeeded", ExitError, "must be one of ready, running, deleted, or condition=TYPE[=STATUS], of a notebook"},
		"a condition":                  {"wait nb one --for condition=ready=false", ExitOK, "So it is."},
		"a condition that is not":      {"wait nb one --for condition=Ready --timeout 10ms", ExitTimeout, `has not come to "condition=Ready"`},
		"an object that is deleted":    {"wait nb two --for delete", ExitOK, ""},
		"an object that stays":         {"wait nb one --for deleted --timeout 10ms", ExitTimeout, "NotReady: So it is."},
		"kinds are completed":          {"__complete get not", ExitOK, "notebook\n"},
		"names of a kind are":          {"__complete wait nb o", ExitOK, "one\n"},
		"names behind a slash are":     {"__complete get nb/", ExitOK, "nb/one\n"},
		"names of notebooks are":       {"__complete notebook open ", ExitOK, "one\n"},
		"names of accelerators are":    {"__complete get accelerator ", ExitOK, "one\n"},
		"an experiment is not a job's": {"logs experiment/one", ExitNotFound, "there is no trainingjob"},
	} {
		t.Run(name, func(t *testing.T) { expect(t, objects, c.args, c.wantCode, c.want) })
	}
}

// TestARefusedKindLeavesTheOthers may list everything but notebooks.
func TestARefusedKindLeavesTheOthers(t *testing.T) {
	cluster := clusterOf(t, nil, job())
	var refusal error = apierrors.NewForbidden(v1alpha1.GroupVersion.WithResource("notebooks").GroupResource(), "", nil)
	cluster.WithWatch = interceptor.NewClient(cluster.WithWatch, interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if _, is := list.(*v1alpha1.NotebookList); is {
				return refusal
			}
			return c.List(ctx, list, opts...)
		},
	})
	for args, want := range map[string]string{"get all": "trainingjob/digits", "get nb,tj": "trainingjob/digits", "get all -o yaml": "name: digits", "get nb,exp": ""} {
		got := callOn(t, cluster, strings.Split(args, " ")...)
		if got.code != ExitError || !strings.Contains(got.out, want) || !strings.HasPrefix(got.err, "mill: notebooks: not allowed: ") {
			t.Errorf("mill %s: got %+v, want %q", args, got, want)
		}
	}
	refusal = errors.New("nobody answers")
	if got := callOn(t, cluster, "get", "all"); got.code != ExitError || got.err != "mill: nobody answers\n" {
		t.Errorf("got %+v", got)
	}
}

// TestALiveTableShowsWhatIsNotItsAge tells of changes of the last column, and not of those of ages.
func TestALiveTableShowsWhatIsNotItsAge(t *testing.T) {
	for name, want := range map[string]int{"Accelerator": 3, "Notebook": 2} {
		var out strings.Builder
		header := append([]string{"NAME"}, kindOf(name).layout(false, noon).header...)
		lines := &liveTable{table: &table{header: header}, last: map[client.ObjectKey]string{}}
		for _, last := range []string{"a", "b"} {
			row := make([]string, len(header))
			row[len(row)-1] = last
			if i := slices.Index(header, "LAST ACTIVITY"); i >= 0 {
				row[i] = last
			}
			lines.write(&out, client.ObjectKey{}, row)
		}
		if got := strings.Count(out.String(), "\n"); got != want {
			t.Errorf("%s: %d lines, want %d:\n%s", name, got, want, out.String())
		}
	}
}
