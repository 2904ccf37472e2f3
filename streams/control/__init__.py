"""The wire side of control: what operators say, signed, checked and read back."""
