package main

import (
	"github.com/spf13/cobra"

	"caos/internal/verify"
)

func newVerify(e *environment) *cobra.Command {
	var trust, status, proof string
	var ethereum []string
	c := &cobra.Command{
		Use: "verify FILE|DIR --trust TRUST", Short: "Check a package, baseline or passport offline (as caos-verify does)", Args: wants("FILE"),
		Long: "Checks what was exported against the keys of the trust file: no network, no database. It tells from the content what it has:\n\n" +
			"an evidence package: every byte, signature, audit record, proof and decision in it, and what witnesses and time-stamp servers say of the log\n" +
			"a baseline, as a tar file or as the folder with its model.sig: the signature, every byte of every file, and that there is nothing else\n" +
			"a product passport, as it was downloaded: its signature, and with --status and --proof whether it was revoked and that the log has it\n\n" +
			"With --ethereum a node of a chain that the trust file names is asked, besides, whether the registry there has what is anchored or recorded.\n\n" +
			"caos-verify is the same for machines without CAOS.",
		Example: "  caos verify CERT-PKG-FCS.caospkg --trust trust.json\n  caos verify BL-DLY-1.0.0.tar --trust trust.json\n" +
			"  caos verify DPP-NN-DLY-001-1.0.0-FREEZE.json --trust trust.json",
		RunE: func(_ *cobra.Command, args []string) error {
			if trust == "" {
				return usage("without the log's keys nothing can be checked").WithField("trust").WithHint("caos verify %s --trust trust.json", args[0])
			}
			call := []string{"--trust", trust}
			if status != "" {
				call = append(call, "--status", status)
			}
			if proof != "" {
				call = append(call, "--proof", proof)
			}
			for _, url := range ethereum {
				call = append(call, "--ethereum", url)
			}
			if e.format == "json" {
				call = append(call, "--json")
			}
			// "--" would not be understood; a name that looks like a flag gets a folder.
			name := args[0]
			if name != "" && name[0] == '-' {
				name = "./" + name
			}
			if code := verify.Main(append(call, name), e.out, e.err, e.paint.on); code != verify.ExitOK {
				return &ended{code}
			}
			return nil
		},
	}
	c.Flags().StringVar(&trust, "trust", "", "trust file of the log, from its operator by a way other than what it is to check")
	c.Flags().StringVar(&status, "status", "", "for a passport: the status list that it names, which says whether it was revoked")
	c.Flags().StringSliceVar(&ethereum, "ethereum", nil, "address of a node of a chain that the trust file names; several of one chain have to agree")
	c.Flags().StringVar(&proof, "proof", "", "for a passport: what shows that the audit log has it (caos passport get --proof)")
	return c
}
