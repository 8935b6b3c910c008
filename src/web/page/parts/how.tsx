export function HowCard() {
  return null;
}
