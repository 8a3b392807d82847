package httpapi

import (
	"encoding/json"

	"caos"
	"caos/internal/chain"
)

// What is to be recorded of a model is for whoever may know of the model as it is classified
// now, and not as it was when the record was wanted. What is on the chain is everybody's.

// classes are the classifications of models, each asked for once.
type classes map[string]string

// stricter is the stricter one of a classification and that of a model, if there is the model.
func (a *API) stricter(c *call, known classes, model, class string) (string, error) {
	if caos.CheckID("model", "", model) != nil {
		return class, nil
	}
	now, asked := known[model]
	if !asked {
		m, err := a.Registry.Model(c.ctx(), model)
		if err != nil && caos.KindOf(err) != caos.NotFound {
			return class, err
		}
		if now = class; err == nil {
			now = m.Classification
			known[model] = now
		}
	}
	return caos.Stricter(class, now), nil
}

// classified gives records the classification of the models that they are about.
func (a *API) classified(c *call, list ...*chain.Subject) error {
	known := classes{}
	for _, s := range list {
		if !s.AboutModel() {
			continue
		}
		var err error
		if s.Classification, err = a.stricter(c, known, s.ModelID, s.Classification); err != nil {
			return err
		}
	}
	return nil
}

// unsent gives transactions that nobody outside has seen the classification of the model that
// their call names.
func (a *API) unsent(c *call, list ...*chain.Transaction) error {
	known := classes{}
	for _, t := range list {
		var named struct {
			ModelID string `json:"modelId"`
		}
		if t.Attempts > 0 || json.Unmarshal(t.Params, &named) != nil {
			continue
		}
		var err error
		if t.Classification, err = a.stricter(c, known, named.ModelID, t.Classification); err != nil {
			return err
		}
	}
	return nil
}

// hinted adds to the answer for what is not there, or not for the caller, where to look. It is
// the same for both.
func hinted(err error, hint string) error {
	if caos.KindOf(err) != caos.NotFound {
		return err
	}
	return caos.AsError(err).WithHint("%s", hint)
}
