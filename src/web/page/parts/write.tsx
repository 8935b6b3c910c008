export function WriteCard() {
  return null;
}
