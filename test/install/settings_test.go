// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/millrace-ml/millrace/config/crd"
	"github.com/millrace-ml/millrace/internal/offline"
	"github.com/millrace-ml/millrace/internal/suggest"
	"github.com/millrace-ml/millrace/test/golden"
)

// The rules by which admission knows the settings of algorithms are written from the table of the library.
const searchTypes = "../../api/v1alpha1/search_types.go"

// owner is an algorithm or a rule, with its names.
type owner struct {
	names    []string
	settings []suggest.Setting
}

// keys are the names as the rules look them up. The text of a rule has no two apostrophes in a row: formatting would make one sign of them.
func (o owner) keys() []string {
	var all []string
	for _, name := range o.names {
		all = append(all, strings.ToLower(name))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// none stands for a bound that there is not.
const none = "none"

func owners() (algorithms, rules []owner) {
	for _, a := range suggest.Algorithms() {
		algorithms = append(algorithms, owner{append([]string{a.Name}, a.Aliases...), a.Settings})
	}
	for _, r := range suggest.StopRules() {
		rules = append(rules, owner{append([]string{r.Name}, r.Aliases...), r.Settings})
	}
	return algorithms, rules
}

// marker is the rules for the settings of some owners.
func marker(all []owner) string {
	names, says, limits, words := []string{}, []string{}, []string{}, []string{}
	for _, o := range all {
		var known []string
		for _, s := range o.settings {
			for _, name := range append([]string{s.Name}, s.Aliases...) {
				known = append(known, "'"+name+"'")
				for _, key := range o.keys() {
					limits = append(limits, bounds(key+"/"+name, s)...)
				}
				if s.Kind == suggest.Enum {
					words = append(words, fmt.Sprintf("(s.name != '%s' || s.value in ['%s'])", name, strings.Join(s.Words, "', '")))
				}
			}
		}
		for _, key := range o.keys() {
			says = append(says, fmt.Sprintf("'%s': '%s has the settings %s: correct or remove any other'", key, o.names[0],
				strings.ReplaceAll(strings.Join(known, ", "), "'", "")))
			names = append(names, fmt.Sprintf("'%s': [%s]", key, strings.Join(known, ", ")))
		}
	}
	of := "self.name.lowerAscii()"
	table := "{" + strings.Join(names, ", ") + "}"
	first := fmt.Sprintf(`// +kubebuilder:validation:XValidation:rule="!has(self.settings) || [%s[%s]].all(known, self.settings.all(s, s.name in known))",`+
		`fieldPath=".settings",messageExpression="{%s}[%s]"`, table, of, strings.Join(says, ", "), of)
	wrong := "(s.value.matches('^[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][-+]?[0-9]+)?$') && (l[0] != 'whole' || s.value.matches('^[-+]?[0-9]+$')) && " +
		"(l[1] == 'none' || (l[3] == 'open' ? double(s.value) > double(l[1]) : double(s.value) >= double(l[1]))) && " +
		"(l[2] == 'none' || (l[3] == 'open' ? double(s.value) < double(l[2]) : double(s.value) <= double(l[2]))))"
	second := fmt.Sprintf(`// +kubebuilder:validation:XValidation:rule="!has(self.settings) || [{%s}].all(t, self.settings.all(s, !((%s + '/' + s.name) in t) || `+
		`[t[%s + '/' + s.name]].all(l, %s)))",fieldPath=".settings",`+
		`message="a setting is no number, or out of its range: docs/experiment.md lists the settings of each algorithm and rule with their ranges"`,
		strings.Join(limits, ", "), of, of, wrong)
	lines := []string{first, second}
	if len(words) > 0 {
		slices.Sort(words)
		lines = append(lines, fmt.Sprintf(`// +kubebuilder:validation:XValidation:rule="!has(self.settings) || self.settings.all(s, %s)",`+
			`fieldPath=".settings",message="a setting is none of its words: docs/experiment.md lists them"`, strings.Join(slices.Compact(words), " && ")))
	}
	return strings.Join(lines, "\n")
}

func bounds(name string, s suggest.Setting) []string {
	if s.Kind != suggest.Whole && s.Kind != suggest.Real {
		return nil
	}
	kind, lo, hi, open := "real", none, none, none
	if s.Kind == suggest.Whole {
		kind = "whole"
	}
	if s.Range.Min != nil {
		lo = fmt.Sprint(*s.Range.Min)
	}
	if s.Range.Max != nil {
		hi = fmt.Sprint(*s.Range.Max)
	}
	if s.Range.Open {
		open = "open"
	}
	return []string{fmt.Sprintf("'%s': ['%s', '%s', '%s', '%s']", name, kind, lo, hi, open)}
}

// TestAdmissionKnowsTheSettings compares the rules with the library. With -update they are written; make manifests comes next.
func TestAdmissionKnowsTheSettings(t *testing.T) {
	source, err := os.ReadFile(searchTypes)
	if err != nil {
		t.Fatal(err)
	}
	algorithms, rules := owners()
	text := string(source)
	for head, all := range map[string][]owner{"type Algorithm struct {": algorithms, "type EarlyStopping struct {": rules} {
		before, after, found := strings.Cut(text, head)
		if !found {
			t.Fatalf("no %s", head)
		}
		comment := strings.LastIndex(before, "\n\n")
		kept := slices.DeleteFunc(strings.Split(strings.TrimRight(before[comment+2:], "\n"), "\n"), func(line string) bool {
			return strings.HasPrefix(line, "// +kubebuilder:validation:XValidation") || line == "//"
		})
		text = before[:comment+2] + strings.Join(append(kept, "//", marker(all)), "\n") + "\n" + head + after
	}
	golden.Compare(t, searchTypes, []byte(text))
}

// TestWrongSettingsAreRefused asks admission itself.
func TestWrongSettingsAreRefused(t *testing.T) {
	schemas, err := offline.Load(crd.FS)
	if err != nil {
		t.Fatal(err)
	}
	admit := func(algorithm, name, value string) string {
		o := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "millrace.dev/v1alpha1", "kind": "Suggestion", "metadata": map[string]any{"name": "s"},
			"spec": map[string]any{"count": int64(1), "search": map[string]any{
				"objectives": []any{map[string]any{"metric": "loss", "direction": "Minimize"}},
				"parameters": []any{map[string]any{"name": "lr", "type": "Double", "min": "0", "max": "1"}},
				"algorithm":  map[string]any{"name": algorithm, "settings": []any{map[string]any{"name": name, "value": value}}},
			}},
		}}
		_, refusal := schemas.Admit(t.Context(), o, "default")
		return fmt.Sprint(refusal.Unknown, refusal.Invalid)
	}
	for _, a := range suggest.Algorithms() {
		for _, name := range append([]string{a.Name}, a.Aliases...) {
			if said := admit(name, "no_such_setting", "1"); !strings.Contains(said, a.Settings[0].Name) {
				t.Errorf("%s: an unknown setting is answered with %s, want the list of those there are", name, said)
			}
			for _, s := range a.Settings {
				checkSetting(t, s, func(value string) bool { return admit(name, s.Name, value) == "[] []" })
			}
		}
	}
}

// checkSetting asks for values in and out of the range of a setting.
func checkSetting(t *testing.T, s suggest.Setting, admitted func(string) bool) {
	t.Helper()
	good, bad := "1", "x"
	switch {
	case s.Kind == suggest.Enum:
		good = s.Words[0]
	case s.Kind == suggest.Text:
		good, bad = "lr", ""
	case s.Range.Min != nil && s.Range.Open:
		bad = fmt.Sprint(*s.Range.Min)
		if good = fmt.Sprint(*s.Range.Min + 0.25); s.Kind == suggest.Whole {
			good = fmt.Sprint(*s.Range.Min + 1)
		}
	case s.Range.Min != nil:
		good, bad = fmt.Sprint(*s.Range.Min), fmt.Sprint(*s.Range.Min-1)
	}
	if !admitted(good) || bad != "" && admitted(bad) {
		t.Errorf("%s: %q is admitted: %v, %q: %v", s.Name, good, admitted(good), bad, admitted(bad))
	}
}
