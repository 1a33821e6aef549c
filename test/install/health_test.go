// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"os"
	"testing"

	lua "github.com/yuin/gopher-lua"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/yaml"
)

func TestKstatus(t *testing.T) {
	for name, s := range states {
		t.Run("a job "+name, func(t *testing.T) {
			job := s.job(t)
			got, err := status.Compute(toUnstructured(t, job))
			if err != nil {
				t.Fatal(err)
			}
			if got.Status.String() != s.kstatus {
				t.Errorf("kstatus says %s (%s), want %s; conditions: %v", got.Status, got.Message, s.kstatus, job.Status.Conditions)
			}
		})
	}
}

func TestArgo(t *testing.T) {
	script := healthScript(t)
	for name, s := range states {
		t.Run("a job "+name, func(t *testing.T) {
			job := s.job(t)
			got, message := health(t, script, toUnstructured(t, job).Object)
			if got != s.argo {
				t.Errorf("Argo CD says %s, want %s; conditions: %v", got, s.argo, job.Status.Conditions)
			}
			if message == "" {
				t.Error("Argo CD shows no message")
			}
		})
	}
}

// Argo CD may ask before the API server has filled in the defaults of the status.
func TestArgoWithoutStatus(t *testing.T) {
	for name, object := range map[string]map[string]any{
		"no status":     {"metadata": map[string]any{"generation": int64(1)}},
		"no conditions": {"metadata": map[string]any{"generation": int64(1)}, "status": map[string]any{}},
	} {
		t.Run(name, func(t *testing.T) {
			if got, _ := health(t, healthScript(t), object); got != "Progressing" {
				t.Errorf("Argo CD says %s, want Progressing", got)
			}
		})
	}
}

func healthScript(t *testing.T) string {
	t.Helper()
	return healthScriptOf(t, "TrainingJob")
}

func healthScriptOf(t *testing.T, kind string) string {
	t.Helper()
	data, err := os.ReadFile("../../config/argocd/argocd-cm.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var config corev1.ConfigMap
	if err := yaml.UnmarshalStrict(data, &config); err != nil {
		t.Fatal(err)
	}
	script, ok := config.Data["resource.customizations.health.millrace.dev_"+kind]
	if !ok {
		t.Fatalf("no health check for %s", kind)
	}
	return script
}

// health runs a script as Argo CD does: the object is the global obj, the answer is a table. Argo CD opens these
// libraries only.
func health(t *testing.T, script string, object map[string]any) (status, message string) {
	t.Helper()
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{
		lua.LoadLibName: lua.OpenPackage, lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable,
	} {
		state.Push(state.NewFunction(open))
		state.Push(lua.LString(name))
		state.Call(1, 0)
	}
	state.SetGlobal("obj", toLua(state, object))
	if err := state.DoString(script); err != nil {
		t.Fatal(err)
	}
	answer, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		t.Fatalf("the script returns %v, want a table", state.Get(-1))
	}
	return lua.LVAsString(answer.RawGetString("status")), lua.LVAsString(answer.RawGetString("message"))
}

func toLua(state *lua.LState, value any) lua.LValue {
	switch v := value.(type) {
	case map[string]any:
		table := state.NewTable()
		for key, item := range v {
			table.RawSetString(key, toLua(state, item))
		}
		return table
	case []any:
		table := state.NewTable()
		for _, item := range v {
			table.Append(toLua(state, item))
		}
		return table
	case string:
		return lua.LString(v)
	case bool:
		return lua.LBool(v)
	case int64:
		return lua.LNumber(v)
	case float64:
		return lua.LNumber(v)
	}
	return lua.LNil
}
